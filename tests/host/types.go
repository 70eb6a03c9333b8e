package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// kinds are the structures that the first frame of each query type promises.
var kinds = map[string]data.FrameType{
	"analyze":     data.FrameTypeTable,
	"annotations": data.FrameTypeTable,
	"attribution": data.FrameTypeTable,
	"cases":       data.FrameTypeTable,
	"compare":     data.FrameTypeNumericLong,
	"metrics":     data.FrameTypeTimeSeriesMulti,
	"prompts":     data.FrameTypeTable,
	"runs":        data.FrameTypeTable,
	"verdicts":    data.FrameTypeTable,
	"tradeoff":    data.FrameTypeNumericLong,
}

// typed checks what the answers of one query type owe to panels.
func (c *checks) typed(ref, kind string, frames data.Frames) {
	first := frames[0]
	if wanted, known := kinds[kind]; known {
		c.expect(first.Meta != nil && first.Meta.Type == wanted, "query %s (%s): the frame is not a %s", ref, kind, wanted)
	}
	c.expect(first.Meta != nil && strings.HasPrefix(first.Meta.ExecutedQueryString, kind), "query %s does not say what was executed", ref)
	switch kind {
	case "metrics":
		for _, frame := range frames {
			c.series(ref, frame)
		}
	case "cases", "tradeoff", "attribution":
		c.linked(ref, first)
	case "annotations":
		c.ascending(ref, first)
	}
}

// series checks one time series: ascending, labelled, with a unit, its value within its interval.
func (c *checks) series(ref string, frame *data.Frame) {
	if len(frame.Fields) == 0 {
		return
	}
	c.ascending(ref, frame)
	value := frame.Fields[1]
	c.expect(value.Type().Numeric() && len(value.Labels) > 0, "query %s: the value of series %s has no labels", ref, frame.Name)
	c.expect(value.Config != nil && value.Config.Unit != "", "query %s: series %s has no unit", ref, frame.Name)
	low, _ := frame.FieldByName("ci_low")
	high, _ := frame.FieldByName("ci_high")
	for row := range value.Len() {
		point, err := value.FloatAt(row)
		c.expect(err == nil, "query %s: a value is no number: %v", ref, err)
		if low == nil || high == nil || low.NilAt(row) || high.NilAt(row) {
			continue
		}
		from, _ := low.FloatAt(row)
		to, _ := high.FloatAt(row)
		c.expect(from <= point && point <= to, "query %s: %g is not between %g and %g", ref, point, from, to)
	}
}

func (c *checks) ascending(ref string, frame *data.Frame) {
	times := frame.Fields[0]
	c.expect(times.Type().Time(), "query %s: frame %s does not begin with a time", ref, frame.Name)
	var last time.Time
	for row := range times.Len() {
		at, _ := times.ConcreteAt(row)
		now, ok := at.(time.Time)
		c.expect(ok && !now.Before(last), "query %s: frame %s goes back in time", ref, frame.Name)
		last = now
	}
}

// linked checks that some field leads on to another question of the same data source.
func (c *checks) linked(ref string, frame *data.Frame) {
	for _, field := range frame.Fields {
		if field.Config == nil {
			continue
		}
		for _, link := range field.Config.Links {
			if link.Internal != nil && link.Internal.DatasourceUID == "assay" {
				c.passed++
				return
			}
		}
	}
	c.expect(false, "query %s: frame %s links to nothing", ref, frame.Name)
}

// alerts checks that an alert rule gets what it can evaluate: one number per series, told apart by labels, or no data.
func (c *checks) alerts(ctx context.Context, host *host) {
	answers, err := host.query(ctx, true, roleNone,
		`{"queryType":"metrics","anyTime":true}`, `{"queryType":"metrics","arm":"there is no such arm"}`)
	c.expect(err == nil, "the queries of an alert rule: %v", err)
	if err != nil {
		return
	}
	frames, err := data.UnmarshalArrowFrames(answers.Responses["A"].GetFrames())
	c.expect(err == nil, "the frames of an alert rule do not decode: %v", err)
	seen := map[string]bool{}
	for _, frame := range frames {
		schema := frame.TimeSeriesSchema()
		c.expect(schema.Type == data.TimeSeriesTypeWide, "an alert rule cannot read frame %s as a series", frame.Name)
		c.expect(len(schema.ValueIndices) == 1, "an alert rule finds %d numbers in frame %s", len(schema.ValueIndices), frame.Name)
		if len(schema.ValueIndices) == 1 {
			labels := frame.Fields[schema.ValueIndices[0]].Labels.String()
			c.expect(!seen[labels], "two series of an alert rule have the labels %s", labels)
			seen[labels] = true
		}
	}
	nothing := answers.Responses["B"]
	c.expect(nothing.GetStatus() == 200 && len(nothing.GetFrames()) == 0, "an alert rule does not hear of no data: %s", nothing.GetError())
}

// resources checks what editors ask for, and that the door for runs is closed to viewers.
func (c *checks) resources(ctx context.Context, host *host) {
	call := func(role, method, path, body string) (*pluginv2.CallResourceResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, host.timeout)
		defer cancel()
		calls, err := host.resource.CallResource(ctx, &pluginv2.CallResourceRequest{
			PluginContext: host.pluginContext(role), Path: path, Method: method, Body: []byte(body),
		})
		if err != nil {
			return nil, err
		}
		return calls.Recv()
	}
	for _, name := range []string{"runs", "arms", "models", "prompts", "datasets", "families", "splits", "metrics"} {
		answer, err := call("Viewer", "GET", "variables/"+name, "")
		var values []struct{ Text, Value string }
		c.expect(err == nil && answer.GetCode() == 200, "variable %s: %v, code %d", name, err, answer.GetCode())
		c.expect(json.Unmarshal(answer.GetBody(), &values) == nil, "variable %s is not a list of texts and values", name)
	}
	for role, code := range map[string]int32{"Viewer": 403, "": 403, "Editor": 400} {
		answer, err := call(role, "POST", "runs", "not a run")
		c.expect(err == nil && answer.GetCode() == code, "a bad run from role %q: code %d instead of %d, %v", role, answer.GetCode(), code, err)
	}
}
