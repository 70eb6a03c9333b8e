package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend/grpcplugin"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
)

const (
	roleAdmin = "Admin"
	// roleNone is a valid role of Grafana's, of users without any basic role.
	roleNone = "None"
	// canary stands in for a credential; the plugin must never let it out.
	canary = "canary-5f1d0c3e-never-log-this"
)

// host is a running plugin with the clients that Grafana would hold.
type host struct {
	client      *goplugin.Client
	protocol    goplugin.ClientProtocol
	data        grpcplugin.DataClient
	diagnostics grpcplugin.DiagnosticsClient
	resource    grpcplugin.ResourceClient
	stream      grpcplugin.StreamClient
	log         *tail
	source      *dataSource
	timeout     time.Duration
	startup     time.Duration
}

// start launches the plugin and connects every client that Grafana connects.
func start(opts options) (*host, error) {
	path, err := filepath.Abs(opts.plugin)
	if err != nil {
		return nil, err
	}
	source, err := settings(opts)
	if err != nil {
		return nil, err
	}
	log := &tail{}
	var sink io.Writer = log
	if opts.verbose {
		sink = io.MultiWriter(log, os.Stderr)
	}
	began := time.Now()
	client := goplugin.NewClient(config(command(path, opts.assert), sink))
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("cannot start %s: %w\n%s", path, err, log)
	}
	running := &host{
		client: client, protocol: protocol, log: log, source: source, timeout: opts.timeout, startup: time.Since(began),
	}
	if err := running.dispense(); err != nil {
		client.Kill()
		return nil, err
	}
	return running, nil
}

// settings is the data source that a person would have saved in Grafana.
func settings(opts options) (*dataSource, error) {
	values := map[string]any{"storeUrl": storeURL(opts.store)}
	if opts.root != "" {
		root, err := filepath.Abs(opts.root)
		if err != nil {
			return nil, err
		}
		values["rootPath"] = root
	}
	if opts.around != nil && opts.around.modelURL != "" {
		values["modelServers"] = []map[string]string{{"name": opts.model, "url": opts.around.modelURL}}
	}
	jsonData, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	source := &dataSource{secrets: map[string]string{"hashKey": canary}}
	source.stored = stored{ID: 1, UID: "assay", Name: "Assay", URL: opts.around.url(), JSONData: jsonData}
	return source, nil
}

// command starts the plugin; while it is checked, it logs all that it ever would.
func command(path string, assert bool) *exec.Cmd {
	command := exec.Command(path)
	if assert {
		command.Env = append(os.Environ(), "RUST_LOG=trace")
	}
	return command
}

// config is the client configuration of Grafana's own plugin manager, as far as a data source sees it.
func config(command *exec.Cmd, sink io.Writer) *goplugin.ClientConfig {
	plugins := goplugin.PluginSet{
		"data":        &grpcplugin.DataGRPCPlugin{},
		"diagnostics": &grpcplugin.DiagnosticsGRPCPlugin{},
		"resource":    &grpcplugin.ResourceGRPCPlugin{},
		"stream":      &grpcplugin.StreamGRPCPlugin{},
	}
	return &goplugin.ClientConfig{
		Cmd: command,
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  grpcplugin.ProtocolVersion,
			MagicCookieKey:   grpcplugin.MagicCookieKey,
			MagicCookieValue: grpcplugin.MagicCookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{grpcplugin.ProtocolVersion: plugins},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Name: "plugin", Level: hclog.Trace, Output: sink}),
	}
}

// dispense fetches one client per service.
func (h *host) dispense() error {
	for name, keep := range map[string]func(any) bool{
		"data":        func(raw any) (ok bool) { h.data, ok = raw.(grpcplugin.DataClient); return },
		"diagnostics": func(raw any) (ok bool) { h.diagnostics, ok = raw.(grpcplugin.DiagnosticsClient); return },
		"resource":    func(raw any) (ok bool) { h.resource, ok = raw.(grpcplugin.ResourceClient); return },
		"stream":      func(raw any) (ok bool) { h.stream, ok = raw.(grpcplugin.StreamClient); return },
	} {
		raw, err := h.protocol.Dispense(name)
		if err != nil {
			return fmt.Errorf("cannot dispense %s: %w", name, err)
		}
		if !keep(raw) {
			return fmt.Errorf("the %s client is a %T", name, raw)
		}
	}
	return nil
}

// pluginContext says who asks, through which data source.
func (h *host) pluginContext(role string) *pluginv2.PluginContext {
	return &pluginv2.PluginContext{
		OrgId:                      1,
		PluginId:                   "assay-logs-datasource",
		PluginVersion:              "0.0.0",
		User:                       &pluginv2.User{Login: "host", Name: "Host", Email: "host@example.org", Role: role},
		GrafanaConfig:              map[string]string{"GF_APP_URL": "http://localhost:3000/"},
		UserAgent:                  "Grafana/12.4.2 (linux; amd64)",
		DataSourceInstanceSettings: h.source.instance(),
	}
}

// health asks what Grafana asks on "Save & test".
func (h *host) health(ctx context.Context, role string) (*pluginv2.CheckHealthResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return h.diagnostics.CheckHealth(ctx, &pluginv2.CheckHealthRequest{PluginContext: h.pluginContext(role)})
}

// query sends queries A, B, C, … in one request, over the hour that ends now.
func (h *host) query(ctx context.Context, alert bool, role string, queries ...string) (*pluginv2.QueryDataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	now := time.Now()
	request := &pluginv2.QueryDataRequest{PluginContext: h.pluginContext(role), Headers: map[string]string{}}
	if alert {
		request.Headers["FromAlert"] = "true"
		request.PluginContext.User = nil
	}
	for i, query := range queries {
		var named struct {
			QueryType string `json:"queryType"`
		}
		_ = json.Unmarshal([]byte(query), &named)
		request.Queries = append(request.Queries, &pluginv2.DataQuery{
			RefId: refID(i), QueryType: named.QueryType, Json: []byte(query), MaxDataPoints: 1000, IntervalMS: 15000,
			TimeRange: &pluginv2.TimeRange{FromEpochMS: now.Add(-time.Hour).UnixMilli(), ToEpochMS: now.UnixMilli()},
		})
	}
	return h.data.QueryData(ctx, request)
}

// ending is how the plugin went.
type ending struct {
	graceful bool
	took     time.Duration
}

func (e ending) String() string {
	if e.graceful {
		return fmt.Sprintf("stopped cleanly in %d ms", e.took.Milliseconds())
	}
	return fmt.Sprintf("had to be killed after %d ms", e.took.Milliseconds())
}

// stop ends the plugin as Grafana does. The library says only in its log whether it had to use force.
func (h *host) stop() ending {
	began := time.Now()
	h.client.Kill()
	return ending{graceful: !strings.Contains(h.log.String(), "plugin failed to exit gracefully"), took: time.Since(began)}
}

// storeURL makes a plain path the file URL that a data source's settings hold.
func storeURL(store string) string {
	if store == "" || strings.Contains(store, "://") {
		return store
	}
	if path, err := filepath.Abs(store); err == nil {
		return "file://" + path
	}
	return store
}

// refID names the i-th query as Grafana's editor does.
func refID(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprintf("Q%d", i)
}
