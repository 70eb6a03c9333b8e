package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"gopkg.in/yaml.v3"
)

// alertRule is a rule of provisioning/alerting.
type alertRule struct {
	UID, Title, Condition string
	DashboardUID          string `yaml:"dashboardUid"`
	PanelID               int    `yaml:"panelId"`
	NoDataState           string `yaml:"noDataState"`
	Labels, Annotations   map[string]string
	Data                  []node
}

// node is one step of a rule: a query, or an expression over another step.
type node struct {
	RefID             string                   `yaml:"refId"`
	DatasourceUID     string                   `yaml:"datasourceUid"`
	RelativeTimeRange struct{ From, To int64 } `yaml:"relativeTimeRange"`
	Model             map[string]any
}

// instance is one of the alerts that a rule can raise: a value with its labels. NaN stands for no value.
type instance struct {
	labels data.Labels
	value  float64
}

// loadRules reads the rules of every group.
func loadRules(dir string) ([]alertRule, error) {
	text, err := os.ReadFile(filepath.Join(dir, "alerting", "rules.yaml"))
	if err != nil {
		return nil, err
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var rules []alertRule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("there is no rule in %s", dir)
	}
	return rules, nil
}

// rules evaluates every rule as Grafana does and holds the outcome to the uids that are expected to fire.
func (c *checks) rules(ctx context.Context, host *host, rules []alertRule, found []dashboard, fires []string) {
	for _, rule := range rules {
		c.complete(rule, found)
		firing, err := rule.evaluate(ctx, host)
		c.expect(err == nil, "rule %s: %v", rule.UID, err)
		if slices.Contains(fires, rule.UID) {
			c.expect(len(firing) > 0, "rule %s is silent", rule.UID)
		} else {
			c.expect(len(firing) == 0, "rule %s fires: %v", rule.UID, firing)
		}
		for _, one := range firing {
			c.told(rule, one)
		}
	}
	for _, uid := range fires {
		known := slices.ContainsFunc(rules, func(rule alertRule) bool { return rule.UID == uid })
		c.expect(known, "there is no rule %s", uid)
	}
}

// complete checks what a rule owes to whoever is woken by it.
func (c *checks) complete(rule alertRule, found []dashboard) {
	linked := slices.ContainsFunc(found, func(one dashboard) bool {
		has := func(panel panel) bool { return panel.ID == rule.PanelID }
		return one.UID == rule.DashboardUID && slices.ContainsFunc(flat(one.Panels), has)
	})
	c.expect(linked, "rule %s: there is no panel %d in %s", rule.UID, rule.PanelID, rule.DashboardUID)
	for _, name := range []string{"summary", "description", "runbook"} {
		c.expect(rule.Annotations[name] != "", "rule %s has no %s", rule.UID, name)
	}
	c.expect(rule.Annotations["run_url"]+rule.Annotations["trace_url"] != "", "rule %s leads neither to a run nor to a trace", rule.UID)
	c.expect(rule.Labels["product"] == "assay" && rule.Labels["severity"] != "", "rule %s has no severity", rule.UID)
	page := rule.Annotations["runbook"]
	page = page[strings.LastIndex(page, " ")+1:]
	_, err := os.Stat(filepath.Join("..", "..", strings.TrimSuffix(page, ".")))
	if _, inside := os.Stat("rules.go"); inside == nil {
		c.expect(err == nil, "rule %s: the runbook %s is not there", rule.UID, page)
	}
}

// told writes the annotations of an instance as Grafana would and checks that nothing is missing in them.
func (c *checks) told(rule alertRule, one instance) {
	type value struct {
		Labels data.Labels
		Value  float64
	}
	values := map[string]value{"B": {one.labels, one.value}}
	for name, text := range rule.Annotations {
		head := "{{ $labels := .Labels }}{{ $values := .Values }}"
		parsed, err := template.New(name).Option("missingkey=zero").Funcs(template.FuncMap{
			"externalURL":        func() string { return "http://localhost:3000/" },
			"humanizePercentage": func(v float64) string { return fmt.Sprintf("%.4g%%", v*100) },
			"humanizeDuration":   func(v float64) string { return (time.Duration(v) * time.Second).String() },
		}).Parse(head + text)
		c.expect(err == nil, "rule %s: annotation %s: %v", rule.UID, name, err)
		if err != nil {
			continue
		}
		var out strings.Builder
		err = parsed.Execute(&out, map[string]any{"Labels": map[string]string(one.labels), "Values": values})
		c.expect(err == nil && !strings.Contains(out.String(), "<no value>"), "rule %s: annotation %s: %v: %s", rule.UID, name, err, out.String())
		for _, label := range []string{"arm", "baseline", "namespace", "component", "question", "prompt"} {
			used := strings.Contains(text, "$labels."+label)
			c.expect(!used || one.labels[label] != "", "rule %s: annotation %s names the label %s, which %v has not", rule.UID, name, label, one.labels)
		}
	}
}

// evaluate are the instances whose condition holds.
func (r alertRule) evaluate(ctx context.Context, host *host) ([]instance, error) {
	series, numbers := map[string][][]float64{}, map[string][]instance{}
	for _, node := range r.Data {
		var err error
		input, _ := node.Model["expression"].(string)
		switch node.Model["type"] {
		case nil:
			series[node.RefID], numbers[node.RefID], err = node.query(ctx, host)
		case "reduce":
			numbers[node.RefID], err = node.reduce(series[input], numbers[input])
		case "threshold":
			numbers[node.RefID], err = node.threshold(numbers[input])
		default:
			err = fmt.Errorf("expression %v is not one that is evaluated here", node.Model["type"])
		}
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", node.RefID, err)
		}
	}
	var firing []instance
	for i, one := range numbers[r.Condition] {
		if one.value == 1 {
			firing = append(firing, instance{one.labels, numbers["B"][i].value})
		}
	}
	return firing, nil
}

// query is the series of a data source: the values in time order, and the labels of each.
func (n node) query(ctx context.Context, host *host) ([][]float64, []instance, error) {
	since := time.Duration(n.RelativeTimeRange.From-n.RelativeTimeRange.To) * time.Second
	if n.DatasourceUID != "assay" || since <= 0 {
		return nil, nil, fmt.Errorf("it asks %q over %s", n.DatasourceUID, since)
	}
	answer, err := host.ask(ctx, n.Model, since, true)
	if err != nil {
		return nil, nil, err
	}
	if answer.GetStatus() != 200 {
		return nil, nil, fmt.Errorf("status %d: %s", answer.GetStatus(), answer.GetError())
	}
	frames, err := data.UnmarshalArrowFrames(answer.GetFrames())
	if err != nil {
		return nil, nil, err
	}
	var all [][]float64
	var labels []instance
	seen := map[string]bool{}
	for _, frame := range frames {
		field, err := only(frame)
		if err != nil {
			return nil, nil, err
		}
		if seen[field.Labels.String()] {
			return nil, nil, fmt.Errorf("two series have the labels %s", field.Labels)
		}
		seen[field.Labels.String()] = true
		var values []float64
		for row := range field.Len() {
			value, err := field.NullableFloatAt(row)
			if err != nil {
				return nil, nil, err
			}
			if value != nil {
				values = append(values, *value)
			}
		}
		all, labels = append(all, values), append(labels, instance{labels: field.Labels})
	}
	return all, labels, nil
}

// only is the one number of a frame: of a time series, or of a row without time.
func only(frame *data.Frame) (*data.Field, error) {
	numbers := frame.TypeIndices(data.NumericFieldTypes()...)
	schema := frame.TimeSeriesSchema()
	isNumber := frame.Meta != nil && frame.Meta.Type == data.FrameTypeNumericWide && frame.Rows() == 1
	if len(numbers) != 1 || schema.Type != data.TimeSeriesTypeWide && !isNumber {
		return nil, fmt.Errorf("frame %s is neither one time series nor one number", frame.Name)
	}
	return frame.Fields[numbers[0]], nil
}

// reduce makes one number of each series; values that are none are dropped, as the rules ask.
func (n node) reduce(series [][]float64, labels []instance) ([]instance, error) {
	if settings, _ := n.Model["settings"].(map[string]any); settings["mode"] != "dropNN" {
		return nil, fmt.Errorf("mode %v is not one that is evaluated here", settings["mode"])
	}
	var reduced []instance
	for i, values := range series {
		value, err := reduce(fmt.Sprint(n.Model["reducer"]), values)
		if err != nil {
			return nil, err
		}
		reduced = append(reduced, instance{labels[i].labels, value})
	}
	return reduced, nil
}

func reduce(reducer string, values []float64) (float64, error) {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if reducer == "count" {
		return float64(len(values)), nil
	}
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	if reducer == "sum" {
		return sum, nil
	}
	if len(values) == 0 {
		return math.NaN(), nil
	}
	switch reducer {
	case "last":
		return values[len(values)-1], nil
	case "mean":
		return sum / float64(len(values)), nil
	case "max":
		return slices.Max(values), nil
	case "min":
		return slices.Min(values), nil
	}
	return 0, fmt.Errorf("reducer %s is not one that is evaluated here", reducer)
}

// threshold makes 1 of each number that is beyond the bound, 0 of the others.
func (n node) threshold(numbers []instance) ([]instance, error) {
	conditions, _ := n.Model["conditions"].([]any)
	if len(conditions) != 1 {
		return nil, fmt.Errorf("a threshold has one condition, this has %d", len(conditions))
	}
	condition, _ := conditions[0].(map[string]any)
	evaluator, _ := condition["evaluator"].(map[string]any)
	params, _ := evaluator["params"].([]any)
	if len(params) != 1 {
		return nil, fmt.Errorf("a bound has one value, this has %d", len(params))
	}
	bound, err := float(params[0])
	if err != nil {
		return nil, err
	}
	var judged []instance
	for _, one := range numbers {
		beyond := false
		switch evaluator["type"] {
		case "gt":
			beyond = one.value > bound
		case "lt":
			beyond = one.value < bound
		default:
			return nil, fmt.Errorf("evaluator %v is not one that is evaluated here", evaluator["type"])
		}
		value := 0.0
		if beyond {
			value = 1
		}
		judged = append(judged, instance{one.labels, value})
	}
	return judged, nil
}

func float(value any) (float64, error) {
	switch value := value.(type) {
	case int:
		return float64(value), nil
	case float64:
		return value, nil
	}
	return 0, fmt.Errorf("%v is no number", value)
}
