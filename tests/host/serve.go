package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// server answers as much of Grafana's HTTP interface as the data source's pages use, with the real plugin behind it.
// It has one data source, no users and no rights: it is for tests on this machine.
type server struct {
	host   *host
	source *dataSource
}

// serve runs until the context ends. It prints the address that it listens on, for whoever chose port 0.
func serve(ctx context.Context, opts options, out io.Writer) error {
	source, err := readDataSource(opts.settings)
	if err != nil {
		return err
	}
	host, err := start(opts)
	if err != nil {
		return err
	}
	defer host.stop()
	host.source = source
	mux := http.NewServeMux()
	s := &server{host: host, source: source}
	mux.HandleFunc("POST /api/ds/query", s.query)
	mux.HandleFunc("GET /api/datasources/uid/{uid}", s.get)
	mux.HandleFunc("PUT /api/datasources/uid/{uid}", s.put)
	mux.HandleFunc("GET /api/datasources/uid/{uid}/health", s.health)
	mux.HandleFunc("/api/datasources/uid/{uid}/resources/{path...}", s.call)
	mux.HandleFunc("GET /api/live/{uid}/{path...}", s.live)
	for path, folder := range opts.folders {
		mux.Handle("GET "+path, http.StripPrefix(path, http.FileServer(http.Dir(folder))))
	}
	return listen(ctx, opts.serve, mux, out)
}

// query is Grafana's /api/ds/query.
func (s *server) query(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Queries  []json.RawMessage `json:"queries"`
		From, To string
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	request := &pluginv2.QueryDataRequest{PluginContext: s.host.pluginContext(role(r)), Headers: map[string]string{}}
	for _, raw := range body.Queries {
		query, err := dataQuery(raw, body.From, body.To)
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		request.Queries = append(request.Queries, query)
	}
	if r.Header.Get("FromAlert") != "" {
		request.Headers["FromAlert"] = r.Header.Get("FromAlert")
	}
	answers, err := s.host.data.QueryData(r.Context(), request)
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	results, status, err := results(answers)
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	reply(w, status, map[string]any{"results": results})
}

// result is one query's answer in Grafana's JSON.
type result struct {
	Status      int32       `json:"status"`
	Frames      data.Frames `json:"frames"`
	Error       string      `json:"error,omitempty"`
	ErrorSource string      `json:"errorSource,omitempty"`
}

// results are the answers, and the status of all: 400 if one failed, with the other answers beside it.
func results(answers *pluginv2.QueryDataResponse) (map[string]result, int, error) {
	results, status := map[string]result{}, http.StatusOK
	for ref, answer := range answers.GetResponses() {
		frames, err := data.UnmarshalArrowFrames(answer.GetFrames())
		if err != nil {
			return nil, 0, fmt.Errorf("query %s: %w", ref, err)
		}
		results[ref] = result{answer.GetStatus(), frames, answer.GetError(), answer.GetErrorSource()}
		if answer.GetError() != "" {
			status = http.StatusBadRequest
		}
	}
	return results, status, nil
}

// dataQuery is a query of the page as the plugin gets it.
func dataQuery(raw json.RawMessage, from, to string) (*pluginv2.DataQuery, error) {
	var common struct {
		RefID         string `json:"refId"`
		QueryType     string `json:"queryType"`
		IntervalMS    int64  `json:"intervalMs"`
		MaxDataPoints int64  `json:"maxDataPoints"`
	}
	if err := json.Unmarshal(raw, &common); err != nil {
		return nil, err
	}
	start, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	end, err := strconv.ParseInt(to, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	return &pluginv2.DataQuery{
		RefId: common.RefID, QueryType: common.QueryType, Json: raw, IntervalMS: common.IntervalMS, MaxDataPoints: common.MaxDataPoints,
		TimeRange: &pluginv2.TimeRange{FromEpochMS: start, ToEpochMS: end},
	}, nil
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	health, err := s.host.health(r.Context(), role(r))
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	status := http.StatusOK
	if health.GetStatus() != pluginv2.CheckHealthResponse_OK {
		status = http.StatusBadRequest
	}
	details := json.RawMessage(health.GetJsonDetails())
	if len(details) == 0 {
		details = json.RawMessage("{}")
	}
	reply(w, status, map[string]any{"status": health.GetStatus().String(), "message": health.GetMessage(), "details": details})
}

// call passes a call to the plugin's resources.
func (s *server) call(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	path := r.PathValue("path")
	url := path
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	calls, err := s.host.resource.CallResource(r.Context(), &pluginv2.CallResourceRequest{
		PluginContext: s.host.pluginContext(role(r)), Path: path, Url: url, Method: r.Method, Body: body,
	})
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	answer, err := calls.Recv()
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	for name, values := range answer.GetHeaders() {
		for _, value := range values.GetValues() {
			w.Header().Add(name, value)
		}
	}
	w.WriteHeader(int(answer.GetCode()))
	_, _ = w.Write(answer.GetBody())
}

// live sends a channel's packets as server-sent events, until the page closes it. Grafana's own transport is
// centrifuge's; what the plugin sees is the same.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	plugin := s.host.pluginContext(role(r))
	path := r.PathValue("path")
	answer, err := s.host.stream.SubscribeStream(r.Context(), &pluginv2.SubscribeStreamRequest{PluginContext: plugin, Path: path})
	if err != nil || answer.GetStatus() != pluginv2.SubscribeStreamResponse_OK {
		fail(w, http.StatusNotFound, fmt.Errorf("channel %s: %s, %w", path, answer.GetStatus(), err))
		return
	}
	packets, err := s.host.stream.RunStream(r.Context(), &pluginv2.RunStreamRequest{PluginContext: plugin, Path: path})
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if len(answer.GetData()) > 0 {
		event(w, answer.GetData())
	}
	for {
		packet, err := packets.Recv()
		if err != nil {
			return
		}
		event(w, packet.GetData())
	}
}

func event(w http.ResponseWriter, data []byte) {
	fmt.Fprintf(w, "data: %s\n\n", strings.ReplaceAll(string(data), "\n", ""))
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
}

func (s *server) get(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, s.source.public())
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	if err := s.source.save(r.Body); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"message": "Datasource updated", "datasource": s.source.public()})
}

// role is who asks, for tests of what Viewers see.
func role(r *http.Request) string {
	if role := r.Header.Get("X-Role"); role != "" {
		return role
	}
	return roleAdmin
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]string{"message": err.Error()})
}

// listen serves until the context ends, and prints where as soon as it does.
func listen(ctx context.Context, address string, handler http.Handler, out io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func readDataSource(path string) (*dataSource, error) {
	source := &dataSource{}
	if path == "" {
		return source, errors.New("--settings is missing: give a file with the data source as JSON")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return source, source.save(file)
}
