package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// bigBytes is more than gRPC's own default of 4 MiB and less than the 16 MiB that Grafana's SDK allows.
const bigBytes = 6 << 20

// columns are those that panels and alert rules rely on, by query type, in its first frame.
var columns = map[string][]string{
	"runs":    {"run", "started", "status", "experiment", "arm", "prompt", "model", "metric", "value", "ci_low", "ci_high"},
	"compare": {"metric", "conclusion", "reference", "judged", "difference", "detectable", "a", "b", "delta", "ci_low", "ci_high", "p_value", "mde"},
	"analyze": {"asked", "age", "outcome", "severity", "root_cause", "components", "summary", "evidence"},
	"metrics": {"time", "root_cause", "ci_low", "ci_high", "run"},
	"cases":   {"case", "change", "true_root_cause", "root_cause", "score", "score_before", "outcome", "run"},
	"tradeoff": {
		"model", "quantization", "prompt", "root_cause", "ci_low", "ci_high", "p50_latency", "p95_latency", "prompt_tokens",
		"completion_tokens", "model_size", "pareto",
	},
	"prompts":     {"prompt", "intent", "status", "released", "root_cause", "sha256", "run"},
	"attribution": {"run", "case", "prompt", "prompt_sha256", "rendered_hash", "model", "commit", "settings"},
	"annotations": {"time", "title", "text", "tags"},
	"verdicts": {
		"question", "namespace", "component", "severity", "root_cause", "summary", "age", "class", "model", "prompt",
		"trace_id", "asked",
	},
	"signals": {"time", "failed"},
}

// checks counts what was expected and collects what was not.
type checks struct {
	passed int
	failed []string
}

func (c *checks) expect(ok bool, format string, args ...any) {
	if ok {
		c.passed++
		return
	}
	c.failed = append(c.failed, fmt.Sprintf(format, args...))
}

// result prints the tally and turns a mismatch into an error.
func (c *checks) result(wanted bool, out io.Writer) error {
	if !wanted {
		return nil
	}
	if len(c.failed) > 0 {
		return fmt.Errorf("%d of %d checks failed:\n  %s", len(c.failed), c.passed+len(c.failed), strings.Join(c.failed, "\n  "))
	}
	fmt.Fprintf(out, "%d checks passed\n", c.passed)
	return nil
}

// protocol checks what holds for any store.
func (c *checks) protocol(ctx context.Context, host *host) {
	err := host.protocol.Ping()
	c.expect(err == nil, "ping: %v", err)
	for _, role := range []string{"", roleNone, "Viewer", "a role of tomorrow"} {
		health, err := host.health(ctx, role)
		c.expect(err == nil, "health check by role %q: %v", role, err)
		c.expect(health.GetMessage() != "", "health check by role %q says nothing", role)
	}
	c.isolation(ctx, host)
	c.large(ctx, host)
	c.metrics(ctx, host)
	c.unknown(ctx, host)
	c.alerts(ctx, host)
	c.resources(ctx, host)
	answers, err := host.query(ctx, true, roleNone, `{"queryType":"runs"}`)
	c.expect(err == nil && answers.Responses["A"].GetStatus() == 200, "a query of an alert rule, without a user: %v", err)
	c.expect(!strings.Contains(host.log.String(), canary), "the plugin logged a secret")
}

// isolation checks that bad queries fail alone, each with its own status and source.
func (c *checks) isolation(ctx context.Context, host *host) {
	answers, err := host.query(ctx, false, roleNone,
		`{"queryType":"runs"}`, `{"queryType":"rums"}`, `{"queryType":"runs","limmit":1}`, `not json`, `[]`, "\x00\xff")
	c.expect(err == nil, "a bad query failed its whole request: %v", err)
	if err != nil {
		return
	}
	good := answers.Responses["A"]
	c.expect(good.GetStatus() == 200, "a good query beside bad ones: status %d, %s", good.GetStatus(), good.GetError())
	for i, hint := range []string{"runs", "limit", "JSON", "JSON", "JSON"} {
		bad := answers.Responses[refID(i+1)]
		c.expect(bad.GetStatus() == 400, "bad query %s: status %d instead of 400", refID(i+1), bad.GetStatus())
		c.expect(bad.GetErrorSource() == "downstream", "bad query %s: source %q", refID(i+1), bad.GetErrorSource())
		c.expect(strings.Contains(bad.GetError(), hint), "bad query %s: %q does not mention %q", refID(i+1), bad.GetError(), hint)
	}
}

// large checks that a request above gRPC's default limit arrives.
func (c *checks) large(ctx context.Context, host *host) {
	query := fmt.Sprintf(`{"queryType":"runs","datasource":%q}`, strings.Repeat("x", bigBytes))
	answers, err := host.query(ctx, false, roleAdmin, query)
	c.expect(err == nil, "a request of %d bytes: %v", len(query), err)
	c.expect(answers.GetResponses()["A"].GetStatus() == 200, "a request of %d bytes: %s", len(query), answers.GetResponses()["A"].GetError())
}

// metrics checks that Grafana's metrics endpoint finds something; Grafana sends only the plugin's id there.
func (c *checks) metrics(ctx context.Context, host *host) {
	ctx, cancel := context.WithTimeout(ctx, host.timeout)
	defer cancel()
	request := &pluginv2.CollectMetricsRequest{PluginContext: &pluginv2.PluginContext{PluginId: "assay-logs-datasource"}}
	metrics, err := host.diagnostics.CollectMetrics(ctx, request)
	c.expect(err == nil, "CollectMetrics: %v", err)
	c.expect(strings.Contains(string(metrics.GetMetrics().GetPrometheus()), "assay_queries_total"), "CollectMetrics does not count queries")
}

// unknown checks that resources and channels that do not exist are refused as such.
func (c *checks) unknown(ctx context.Context, host *host) {
	ctx, cancel := context.WithTimeout(ctx, host.timeout)
	defer cancel()
	request := &pluginv2.CallResourceRequest{PluginContext: host.pluginContext(roleNone), Path: "no/such", Method: "GET"}
	calls, err := host.resource.CallResource(ctx, request)
	c.expect(err == nil, "CallResource: %v", err)
	if err == nil {
		answer, err := calls.Recv()
		c.expect(err == nil && answer.GetCode() == 404, "an unknown resource: code %d, %v", answer.GetCode(), err)
	}
	channel, err := host.stream.SubscribeStream(ctx, &pluginv2.SubscribeStreamRequest{
		PluginContext: host.pluginContext(roleNone), Path: "no/such",
	})
	c.expect(err == nil, "SubscribeStream: %v", err)
	c.expect(channel.GetStatus() == pluginv2.SubscribeStreamResponse_NOT_FOUND, "an unknown channel: %s", channel.GetStatus())
}

// answer checks one answer: it came, it decodes with Grafana's decoder and its frames are well formed.
func (c *checks) answer(ref, query string, answer *pluginv2.DataResponse) {
	c.expect(answer != nil, "query %s has no answer: %s", ref, query)
	c.expect(answer.GetStatus() == 200, "query %s: status %d (%s) %s", ref, answer.GetStatus(), answer.GetErrorSource(), answer.GetError())
	frames, err := data.UnmarshalArrowFrames(answer.GetFrames())
	c.expect(err == nil, "query %s does not decode: %v", ref, err)
	c.expect(err != nil || len(frames) > 0 || answer.GetStatus() != 200, "query %s has no frame", ref)
	for _, frame := range frames {
		c.frame(ref, frame)
	}
	var asked struct {
		QueryType string `json:"queryType"`
	}
	_ = json.Unmarshal([]byte(query), &asked)
	if len(frames) > 0 {
		c.columns(ref, asked.QueryType, frames[0])
		c.typed(ref, asked.QueryType, frames)
	}
}

func (c *checks) columns(ref, kind string, frame *data.Frame) {
	if len(frame.Fields) == 0 {
		// No data, which a notice explains.
		return
	}
	for _, name := range columns[kind] {
		field, _ := frame.FieldByName(name)
		c.expect(field != nil, "frame %s of query %s has no field %s", frame.Name, ref, name)
	}
}

func (c *checks) frame(ref string, frame *data.Frame) {
	_, err := frame.RowLen()
	c.expect(err == nil, "frame %s of query %s: %v", frame.Name, ref, err)
	c.expect(frame.RefID == ref, "frame %s of query %s says refId %q", frame.Name, ref, frame.RefID)
	c.expect(frame.Name != "", "a frame of query %s has no name", ref)
	c.expect(frame.Meta != nil && frame.Meta.Type != "", "frame %s of query %s has no type", frame.Name, ref)
	// Of log lines the contract has no version beyond 0.0 yet.
	if frame.Meta != nil && frame.Meta.Type.IsKnownType() && frame.Meta.Type != data.FrameTypeLogLines {
		c.expect(!frame.Meta.TypeVersion.IsZero(), "frame %s of query %s has type %s without a version", frame.Name, ref, frame.Meta.Type)
	}
	names := map[string]bool{}
	for _, field := range frame.Fields {
		key := field.Name + field.Labels.String()
		c.expect(!names[key], "frame %s of query %s has field %s twice", frame.Name, ref, key)
		names[key] = true
	}
}
