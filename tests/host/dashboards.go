package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// pluginID is the type of our data source in dashboards.
const pluginID = "assay-logs-datasource"

// dashboard is what Grafana's JSON model says, as far as it is checked here.
type dashboard struct {
	file        string
	UID         string
	Title       string
	Time        struct{ From, To string }
	Templating  struct{ List []variable }
	Annotations struct{ List []annotation }
	Panels      []panel
}

type variable struct {
	Name, Type string
	Datasource *source
	Query      any
	Sort       int
	Multi      bool
	IncludeAll bool
	Current    struct{ Text, Value any }
}

type annotation struct {
	Name       string
	Datasource source
	Target     map[string]any
}

type source struct{ Type, UID string }

type panel struct {
	ID              int
	Type, Title     string
	Datasource      *source
	Targets         []map[string]any
	Options         map[string]any
	Transformations []map[string]any
	Panels          []panel
	FieldConfig     struct {
		Defaults  map[string]any
		Overrides []struct {
			Matcher struct {
				ID      string
				Options any
			}
		}
	}
}

// loadDashboards reads every dashboard below a folder.
func loadDashboards(dir string) ([]dashboard, error) {
	var found []dashboard
	err := filepath.WalkDir(filepath.Join(dir, "dashboards"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		one := dashboard{file: filepath.Base(path)}
		if err := json.Unmarshal(text, &one); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, one)
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no dashboard below %s", dir)
	}
	return found, err
}

// flat is every panel, those of collapsed rows included.
func flat(panels []panel) []panel {
	var all []panel
	for _, one := range panels {
		all = append(append(all, one), flat(one.Panels)...)
	}
	return all
}

// dashboards asks every question of every dashboard as its page would, and checks what comes back.
func (c *checks) dashboards(ctx context.Context, host *host, found []dashboard, full bool) {
	uids := map[string]string{}
	for _, one := range found {
		c.expect(one.UID != "" && uids[one.UID] == "", "%s: uid %q is empty or that of %s", one.file, one.UID, uids[one.UID])
		c.expect(strings.HasSuffix(one.Title, "?"), "%s: the title %q asks nothing", one.file, one.Title)
		uids[one.UID] = one.file
		values := c.variables(ctx, host, one)
		ids := map[int]bool{}
		for _, panel := range flat(one.Panels) {
			c.expect(!ids[panel.ID], "%s: two panels have the id %d", one.file, panel.ID)
			ids[panel.ID] = true
			c.panel(ctx, host, one, panel, values, full)
		}
		for _, annotation := range one.Annotations.List {
			c.expect(c.isVariable(annotation.Datasource, values), "%s: annotation %s names a data source of its own", one.file, annotation.Name)
			answer := c.ask(ctx, host, one, expand(annotation.Target, values))
			c.expect(answer.GetStatus() == 200, "%s: annotation %s: %s", one.file, annotation.Name, answer.GetError())
		}
	}
}

// variables are the values that a page begins with: what the file says if it is among those that there are, else the first.
func (c *checks) variables(ctx context.Context, host *host, one dashboard) map[string][]string {
	values := map[string][]string{}
	for _, v := range one.Templating.List {
		current := texts(v.Current.Value)
		switch v.Type {
		case "datasource":
			c.expect(len(current) == 1 && strings.HasPrefix(current[0], "assay"), "%s: variable %s has no provisioned data source", one.file, v.Name)
			values[v.Name] = current
		case "query":
			options := c.options(ctx, host, one, v)
			values[v.Name] = chosen(current, options)
		default:
			values[v.Name] = current
		}
	}
	return values
}

func (c *checks) options(ctx context.Context, host *host, one dashboard, v variable) []string {
	name, _ := v.Query.(string)
	ctx, cancel := context.WithTimeout(ctx, host.timeout)
	defer cancel()
	calls, err := host.resource.CallResource(ctx, &pluginv2.CallResourceRequest{
		PluginContext: host.pluginContext("Viewer"), Path: "variables/" + name, Method: "GET",
	})
	c.expect(err == nil, "%s: variable %s: %v", one.file, v.Name, err)
	if err != nil {
		return nil
	}
	answer, err := calls.Recv()
	c.expect(err == nil && answer.GetCode() == 200, "%s: variable %s: code %d %s", one.file, v.Name, answer.GetCode(), answer.GetBody())
	var options []struct{ Value string }
	_ = json.Unmarshal(answer.GetBody(), &options)
	var values []string
	for _, option := range options {
		values = append(values, option.Value)
	}
	switch v.Sort {
	case 1:
		sort.Strings(values)
	case 2:
		sort.Sort(sort.Reverse(sort.StringSlice(values)))
	}
	return values
}

func chosen(current, options []string) []string {
	for _, value := range current {
		if value == "$__all" {
			return current
		}
		for _, option := range options {
			if option == value {
				return current
			}
		}
	}
	if len(options) > 0 {
		return options[:1]
	}
	return nil
}

// panel asks what a panel asks and checks that it can show the answer.
func (c *checks) panel(ctx context.Context, host *host, one dashboard, panel panel, values map[string][]string, full bool) {
	where := fmt.Sprintf("%s, panel %d %q", one.file, panel.ID, panel.Title)
	if panel.Type == "row" || panel.Type == "text" {
		return
	}
	c.expect(panel.Datasource != nil && c.isVariable(*panel.Datasource, values), "%s names a data source of its own", where)
	if panel.Type != "logs" {
		c.expect(panel.FieldConfig.Defaults["noValue"] != nil, "%s says nothing where there is nothing to show", where)
	}
	var frames data.Frames
	for _, target := range panel.Targets {
		for _, name := range unknownVariables(target, values) {
			c.expect(false, "%s uses the variable %s, which the dashboard does not have", where, name)
		}
		if panel.Datasource == nil || panel.Datasource.Type != pluginID {
			continue
		}
		query := expand(target, values)
		if incomplete(query) {
			// A standing question is the settings', and its answer a Loki's: a store alone has neither.
			_, live := query["question"]
			c.expect(!full || live, "%s: nothing is chosen for its query", where)
			return
		}
		answer := c.ask(ctx, host, one, query)
		c.expect(answer.GetStatus() == 200, "%s: status %d: %s", where, answer.GetStatus(), answer.GetError())
		decoded, err := data.UnmarshalArrowFrames(answer.GetFrames())
		c.expect(err == nil, "%s: the frames do not decode: %v", where, err)
		kind, _ := query["queryType"].(string)
		if len(decoded) > 0 {
			c.expect(decoded[0].Meta != nil && decoded[0].Meta.Type != "", "%s: the frame has no type", where)
			c.typed(where, kind, decoded)
		}
		frames = append(frames, decoded...)
	}
	if !full || panel.Datasource == nil || panel.Datasource.Type != pluginID {
		return
	}
	rows := 0
	for _, frame := range frames {
		rows += frame.Rows()
	}
	c.expect(rows > 0, "%s: the answer is empty", where)
	c.named(where, panel, frames)
}

// named checks that every field which a panel names is in what it gets.
func (c *checks) named(where string, panel panel, frames data.Frames) {
	has := func(matches func(name string) bool) bool {
		for _, frame := range frames {
			for _, field := range frame.Fields {
				if matches(field.Name) || field.Config != nil && matches(field.Config.DisplayNameFromDS) {
					return true
				}
			}
		}
		return false
	}
	is := func(name string) func(string) bool { return func(other string) bool { return other == name } }
	for _, override := range panel.FieldConfig.Overrides {
		text, _ := override.Matcher.Options.(string)
		switch override.Matcher.ID {
		case "byName":
			c.expect(has(is(text)), "%s: there is no field %q to be shown otherwise", where, text)
		case "byRegexp":
			pattern, err := regexp.Compile("^(?:" + strings.Trim(text, "/") + ")$")
			c.expect(err == nil && has(pattern.MatchString), "%s: there is no field like %q", where, text)
		}
	}
	if reduce, ok := panel.Options["reduceOptions"].(map[string]any); ok {
		if text, _ := reduce["fields"].(string); text != "" {
			pattern, err := regexp.Compile(strings.Trim(text, "/"))
			c.expect(err == nil && has(pattern.MatchString), "%s: there is no field %s to reduce", where, text)
		}
	}
	if field, _ := panel.Options["xField"].(string); field != "" {
		c.expect(has(is(field)), "%s: there is no field %q for its axis", where, field)
	}
}

// isVariable tells whether a reference follows a variable of the dashboard, of the right type.
func (c *checks) isVariable(ref source, values map[string][]string) bool {
	name, ok := strings.CutPrefix(ref.UID, "${")
	return ok && ref.Type != "" && len(values[strings.TrimSuffix(name, "}")]) == 1
}

// ask puts a query as a page does, over the dashboard's own time range.
func (c *checks) ask(ctx context.Context, host *host, one dashboard, query map[string]any) *pluginv2.DataResponse {
	from, err := ago(one.Time.From)
	c.expect(err == nil, "%s: time range: %v", one.file, err)
	answer, err := host.ask(ctx, query, from, false)
	c.expect(err == nil, "%s: QueryData: %v", one.file, err)
	return answer
}

// ask puts one query, over the time since from.
func (h *host) ask(ctx context.Context, query map[string]any, since time.Duration, alert bool) (*pluginv2.DataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	text, err := json.Marshal(query)
	if err != nil {
		return nil, err
	}
	kind, _ := query["queryType"].(string)
	now := time.Now()
	request := &pluginv2.QueryDataRequest{PluginContext: h.pluginContext("Viewer"), Headers: map[string]string{}}
	if alert {
		request.Headers["FromAlert"] = "true"
		request.PluginContext.User = nil
	}
	request.Queries = []*pluginv2.DataQuery{{
		RefId: "A", QueryType: kind, Json: text, MaxDataPoints: 500, IntervalMS: 60_000,
		TimeRange: &pluginv2.TimeRange{FromEpochMS: now.Add(-since).UnixMilli(), ToEpochMS: now.UnixMilli()},
	}}
	answers, err := h.data.QueryData(ctx, request)
	if err != nil {
		return nil, err
	}
	return answers.Responses["A"], nil
}

// ago is how long before now a relative time such as now-90d lies.
func ago(from string) (time.Duration, error) {
	var n int
	var unit string
	if _, err := fmt.Sscanf(from, "now-%d%s", &n, &unit); err != nil {
		return 0, fmt.Errorf("%q is not now-N and a unit", from)
	}
	units := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	if units[unit] == 0 {
		return 0, fmt.Errorf("%q has an unknown unit", from)
	}
	return time.Duration(n) * units[unit], nil
}

// reference is a variable in a text.
var reference = regexp.MustCompile(`\$\{(\w+)\}|\$(\w+)`)

func name(match []string) string { return match[1] + match[2] }

// unknownVariables are those that neither the dashboard nor Grafana has.
func unknownVariables(target map[string]any, values map[string][]string) []string {
	text, _ := json.Marshal(target)
	var unknown []string
	for _, match := range reference.FindAllStringSubmatch(string(text), -1) {
		if _, ok := values[name(match)]; !ok && !strings.HasPrefix(name(match), "__") {
			unknown = append(unknown, name(match))
		}
	}
	return unknown
}

// expand fills variables in as the frontend does: several values where a list stands, else the first.
func expand(target map[string]any, values map[string][]string) map[string]any {
	query := map[string]any{}
	for field, value := range target {
		switch value := value.(type) {
		case string:
			query[field] = reference.ReplaceAllStringFunc(value, func(text string) string {
				found := values[name(reference.FindStringSubmatch(text))]
				if len(found) == 0 {
					return ""
				}
				return found[0]
			})
		case []any:
			var all []string
			for _, item := range texts(value) {
				if match := reference.FindStringSubmatch(item); match != nil && !strings.HasPrefix(item, "$__") {
					all = append(all, values[name(match)]...)
				} else {
					all = append(all, item)
				}
			}
			if len(all) > 0 {
				query[field] = all
			}
		default:
			query[field] = value
		}
	}
	delete(query, "datasource")
	return query
}

// incomplete tells whether a field that a query needs is empty; the frontend does not send such a query.
func incomplete(query map[string]any) bool {
	needs := map[string][]string{"compare": {"a", "b"}, "cases": {"run"}}
	kind, _ := query["queryType"].(string)
	for _, field := range needs[kind] {
		if query[field] == "" {
			return true
		}
	}
	question, asked := query["question"]
	return asked && question == ""
}

// texts are the texts of a value that may be one or several.
func texts(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var all []string
		for _, item := range value {
			if text, ok := item.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}
