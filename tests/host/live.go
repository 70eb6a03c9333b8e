package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// liveQuestion is asked of the replayed logs, by whoever answers by default.
const liveQuestion = `{"queryType":"analyze","expr":"{namespace=\"shop\"}","window":"1h"}`

// surroundings are what a live question needs beside the plugin: a Loki, and a model server if one is asked for.
type surroundings struct {
	loki     net.Listener
	server   *exec.Cmd
	modelURL string
}

// surround starts them as far as the options ask for it.
func surround(opts options) (*surroundings, error) {
	around := &surroundings{}
	if opts.captures == "" {
		return around, nil
	}
	loki, err := replay(opts.captures)
	if err != nil {
		return nil, err
	}
	around.loki = loki
	if opts.llama == "" {
		return around, nil
	}
	if err := around.startServer(opts); err != nil {
		around.stop()
		return nil, err
	}
	return around, nil
}

// url is the address of the replayed Loki, empty without one.
func (s *surroundings) url() string {
	if s == nil || s.loki == nil {
		return ""
	}
	return "http://" + s.loki.Addr().String()
}

// startServer starts llama-server on a free port and waits until it has loaded the model.
func (s *surroundings) startServer(opts options) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	model := filepath.Join(opts.root, "models", opts.model+".gguf")
	s.server = exec.Command(opts.llama, "--model", model, "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--ctx-size", "4096", "--parallel", "1", "--threads", "1")
	if opts.verbose {
		s.server.Stderr = os.Stderr
	}
	if err := s.server.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", opts.llama, err)
	}
	s.modelURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(s.modelURL + "/health")
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("llama-server has not loaded %s within a minute", model)
}

func (s *surroundings) stop() {
	if s.loki != nil {
		s.loki.Close()
	}
	if s.server != nil && s.server.Process != nil {
		_ = s.server.Process.Kill()
		_ = s.server.Wait()
	}
}

// replay serves what a real Loki once answered; log lines are moved so that the newest is a second old.
func replay(folder string) (net.Listener, error) {
	files := map[string]string{
		"/loki/api/v1/labels":           "labels.body.json",
		"/loki/api/v1/label/app/values": "label-values-app.body.json",
		"/loki/api/v1/status/buildinfo": "buildinfo.body.json",
		"/loki/api/v1/index/stats":      "flushed-index-stats.body.json",
		"/loki/api/v1/query_range":      "query_range-streams-limit1000.body.json",
	}
	bodies := map[string][]byte{}
	for path, file := range files {
		body, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return nil, err
		}
		bodies[path] = body
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, known := bodies[r.URL.Path]
		if !known {
			http.Error(w, "404 page not found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		if r.URL.Path == "/loki/api/v1/query_range" {
			start, _ := strconv.ParseInt(r.FormValue("start"), 10, 64)
			end, _ := strconv.ParseInt(r.FormValue("end"), 10, 64)
			body = moved(body, start, end)
		}
		_, _ = w.Write(body)
	}))
	return listener, nil
}

// moved shifts the lines of an answer to a second before end, and leaves out those before start.
func moved(body []byte, start, end int64) []byte {
	type stream struct {
		Stream json.RawMessage     `json:"stream"`
		Values [][]json.RawMessage `json:"values"`
	}
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			ResultType string          `json:"resultType"`
			Result     []stream        `json:"result"`
			Stats      json.RawMessage `json:"stats"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return body
	}
	at := func(value []json.RawMessage) int64 {
		var text string
		_ = json.Unmarshal(value[0], &text)
		ns, _ := strconv.ParseInt(text, 10, 64)
		return ns
	}
	var newest int64
	for _, stream := range answer.Data.Result {
		for _, value := range stream.Values {
			newest = max(newest, at(value))
		}
	}
	for i := range answer.Data.Result {
		stream := &answer.Data.Result[i]
		for _, value := range stream.Values {
			value[0], _ = json.Marshal(strconv.FormatInt(at(value)+end-int64(time.Second)-newest, 10))
		}
		stream.Values = slices.DeleteFunc(stream.Values, func(value []json.RawMessage) bool { return at(value) < start })
	}
	shifted, err := json.Marshal(answer)
	if err != nil {
		return body
	}
	return shifted
}

// follow asks the live question, watches its channel as a panel does, and returns what the channel said.
func (h *host) follow(ctx context.Context) ([]string, error) {
	answers, err := h.query(ctx, false, roleAdmin, liveQuestion)
	if err != nil {
		return nil, err
	}
	path := channelOf(answers.Responses["A"])
	if path == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 4*h.timeout)
	defer cancel()
	allowed, err := h.stream.SubscribeStream(ctx, &pluginv2.SubscribeStreamRequest{
		PluginContext: h.pluginContext("Viewer"), Path: path,
	})
	if err != nil {
		return nil, err
	}
	if allowed.GetStatus() != pluginv2.SubscribeStreamResponse_OK {
		return nil, fmt.Errorf("channel %s: %s", path, allowed.GetStatus())
	}
	stream, err := h.stream.RunStream(ctx, &pluginv2.RunStreamRequest{PluginContext: h.pluginContext("Viewer"), Path: path})
	if err != nil {
		return nil, err
	}
	var states []string
	for {
		packet, err := stream.Recv()
		if err != nil {
			return states, nil
		}
		frame := &data.Frame{}
		if err := json.Unmarshal(packet.GetData(), frame); err != nil {
			return states, fmt.Errorf("a packet is no frame: %w", err)
		}
		state, _ := frame.FieldByName("state")
		message, _ := frame.FieldByName("message")
		if state == nil || message == nil || state.Len() != 1 {
			return states, fmt.Errorf("a packet has no state")
		}
		states = append(states, fmt.Sprintf("%v %v", state.At(0), message.At(0)))
	}
}

// channelOf is the channel that an answer names for its progress.
func channelOf(answer *pluginv2.DataResponse) string {
	frames, err := data.UnmarshalArrowFrames(answer.GetFrames())
	if err != nil || len(frames) == 0 || frames[0].Meta == nil {
		return ""
	}
	custom, _ := frames[0].Meta.Custom.(map[string]any)
	path, _ := custom["channel"].(string)
	return path
}

// live checks what was streamed of a question, and what alert rules and other roles get of it.
func (c *checks) live(ctx context.Context, host *host, states []string) {
	if len(states) > 0 {
		last := states[len(states)-1]
		c.expect(strings.HasPrefix(last, "done"), "the channel of a live question ended with %q", last)
	}
	channel, err := host.stream.PublishStream(ctx, &pluginv2.PublishStreamRequest{
		PluginContext: host.pluginContext(roleAdmin), Path: "analyze/x", Data: []byte("{}"),
	})
	c.expect(err == nil && channel.GetStatus() == pluginv2.PublishStreamResponse_PERMISSION_DENIED, "anybody may publish: %v", err)
	answers, err := host.query(ctx, true, roleNone, liveQuestion, `{"queryType":"verdicts"}`)
	c.expect(err == nil, "the live queries of an alert rule: %v", err)
	if err != nil {
		return
	}
	for i, query := range []string{"analyze", "verdicts"} {
		answer := answers.Responses[refID(i)]
		frames, err := data.UnmarshalArrowFrames(answer.GetFrames())
		c.expect(err == nil && answer.GetStatus() == 200, "%s of an alert rule: %s, %v", query, answer.GetError(), err)
		for _, frame := range frames {
			c.expect(len(frame.Fields) == 1 && frame.Fields[0].Type().Numeric() && len(frame.Fields[0].Labels) > 0,
				"%s of an alert rule: frame %s is not one number with labels", query, frame.Name)
			c.expect(frame.Meta != nil && frame.Meta.Type == data.FrameTypeNumericWide, "%s of an alert rule: no numeric frame", query)
		}
	}
	c.answers(ctx, host)
}

// answers checks the resources that editors of live queries ask for.
func (c *checks) answers(ctx context.Context, host *host) {
	for path, wanted := range map[string]string{
		"labels": "app", "labels/app/values": "postgres", "models": "rules", "questions": "[]", "variables/questions": "[]",
		"guard?expr=%7Bapp%3D%22postgres%22%7D": `"ruling":"pass"`,
	} {
		calls, err := host.resource.CallResource(ctx, &pluginv2.CallResourceRequest{
			PluginContext: host.pluginContext("Viewer"), Path: strings.Split(path, "?")[0], Url: path, Method: "GET",
		})
		if err != nil {
			c.expect(false, "resource %s: %v", path, err)
			continue
		}
		answer, err := calls.Recv()
		c.expect(err == nil && answer.GetCode() == 200, "resource %s: code %d, %v", path, answer.GetCode(), err)
		c.expect(strings.Contains(string(answer.GetBody()), wanted), "resource %s: %s", path, answer.GetBody())
	}
}
