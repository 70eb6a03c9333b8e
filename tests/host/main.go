// Command host starts the plugin the way Grafana does, asks it questions and prints or checks the answers.
//
// It is built on the very libraries Grafana itself uses to talk to a plugin (hashicorp/go-plugin and
// grafana-plugin-sdk-go), so what decodes here decodes there. It knows nothing about how Assay works inside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are what the command line asked for.
type options struct {
	plugin  string
	store   string
	root    string
	queries []string
	format  string
	assert  bool
	alert   bool
	verbose bool
	timeout time.Duration
	// serve is the address to answer pages on, in place of asking; settings the data source's file, folders what is
	// served beside it.
	serve    string
	settings string
	folders  map[string]string
	// provisioned is the folder whose dashboards and rules are checked in place of asking queries.
	provisioned string
	// full says that every panel must have data.
	full bool
	// fires are the uids of the rules that must fire; all others must be silent.
	fires string
	// captures is the folder of what a real Loki answered; it is replayed for live questions.
	captures string
	// llama is the llama-server that answers them, model the name of the model it serves; without it the rules answer.
	llama string
	model string
	// around is what was started because of these.
	around *surroundings
}

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil && opts.serve != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = serve(ctx, opts, os.Stdout)
		stop()
	} else if err == nil {
		err = run(opts, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1)
	}
}

// parse reads the command line; it prints the usage itself.
func parse(args []string, usage io.Writer) (options, error) {
	opts := options{folders: map[string]string{}}
	flags := flag.NewFlagSet("host", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&opts.plugin, "plugin", "", "`path` of gpx_assay (required)")
	flags.StringVar(&opts.store, "store", "", "`path or URL` of the store that the data source points at")
	flags.StringVar(&opts.root, "root", "", "`path` of the folder with prompts/ and golden/, for the evidence behind a verdict")
	flags.Func("query", "a query as `JSON`, may be repeated; without one, a tour of all types", func(text string) error {
		opts.queries = append(opts.queries, text)
		return nil
	})
	flags.StringVar(&opts.format, "format", "table", "`table` or json")
	flags.BoolVar(&opts.assert, "assert", false, "check the protocol and every answer; exit 1 if anything is off")
	flags.BoolVar(&opts.alert, "alert", false, "send the queries as an alert rule would (FromAlert)")
	flags.BoolVar(&opts.verbose, "verbose", false, "show the plugin's log")
	flags.StringVar(&opts.serve, "serve", "", "`address` to answer Grafana's pages on, such as 127.0.0.1:0, until stopped")
	flags.StringVar(&opts.settings, "settings", "", "`file` with the data source as JSON, for --serve")
	flags.Func("folder", "`PATH=FOLDER` to serve as well, may be repeated", func(text string) error {
		path, folder, ok := strings.Cut(text, "=")
		if !ok || !strings.HasPrefix(path, "/") {
			return errors.New("give /path/=folder")
		}
		opts.folders[path] = folder
		return nil
	})
	flags.StringVar(&opts.provisioned, "provisioning", "", "check the dashboards and alert rules in `path`, as Grafana would show and evaluate them")
	flags.BoolVar(&opts.full, "full", false, "with --provisioning: an empty panel is a failure")
	flags.StringVar(&opts.fires, "fires", "", "with --provisioning: `uids` of the rules that must fire, with commas; all others must be silent")
	flags.StringVar(&opts.captures, "loki", "", "`path` of captured answers of a Loki, which are replayed for live questions (needs --root)")
	flags.StringVar(&opts.llama, "llama-server", "", "`path` of the llama-server that answers live questions; without it the rules do")
	flags.StringVar(&opts.model, "model", "assay-demo-q4_0", "`name` of the model that it serves")
	flags.DurationVar(&opts.timeout, "timeout", 30*time.Second, "deadline of each call")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if opts.plugin == "" {
		return opts, errors.New("--plugin is missing: give the path of gpx_assay")
	}
	if opts.format != "table" && opts.format != "json" {
		return opts, fmt.Errorf("unknown format %q: choose table or json", opts.format)
	}
	return opts, nil
}

// run does everything between the start of the plugin and its end, and always ends it.
func run(opts options, out io.Writer) error {
	around, err := surround(opts)
	if err != nil {
		return err
	}
	defer around.stop()
	opts.around = around
	host, err := start(opts)
	if err != nil {
		return err
	}
	if opts.provisioned == "" {
		err = ask(context.Background(), host, opts, out)
	} else {
		err = provisioned(context.Background(), host, opts, out)
	}
	end := host.stop()
	if opts.format == "table" {
		fmt.Fprintf(out, "plugin ready in %d ms; %s\n", host.startup.Milliseconds(), end)
	}
	if opts.assert && !end.graceful {
		err = errors.Join(err, fmt.Errorf("shutdown: %s", end))
	}
	return err
}

// provisioned checks every panel and every rule of a folder against the store.
func provisioned(ctx context.Context, host *host, opts options, out io.Writer) error {
	dashboards, err := loadDashboards(opts.provisioned)
	if err != nil {
		return err
	}
	rules, err := loadRules(opts.provisioned)
	if err != nil {
		return err
	}
	var checks checks
	checks.dashboards(ctx, host, dashboards, opts.full)
	checks.rules(ctx, host, rules, dashboards, strings.FieldsFunc(opts.fires, func(r rune) bool { return r == ',' }))
	return checks.result(true, out)
}

// ask puts the questions and, with --assert, checks the answers and the protocol around them.
func ask(ctx context.Context, host *host, opts options, out io.Writer) error {
	report := &report{out: out, format: opts.format}
	health, err := host.health(ctx, roleAdmin)
	if err != nil {
		return fmt.Errorf("CheckHealth: %w", err)
	}
	report.health(health)
	var checks checks
	if opts.assert {
		checks.protocol(ctx, host)
	}
	queries := opts.queries
	if len(queries) == 0 {
		queries, err = tour(ctx, host)
		if err != nil {
			return err
		}
		if opts.captures != "" {
			states, err := host.follow(ctx)
			if err != nil {
				return fmt.Errorf("Live: %w", err)
			}
			report.progress(states)
			checks.live(ctx, host, states)
			queries = append(queries, liveQuestion, `{"queryType":"verdicts"}`, `{"queryType":"signals"}`,
				`{"queryType":"signals","signal":"failed","by":"model"}`)
		}
	}
	answers, err := host.query(ctx, opts.alert, roleAdmin, queries...)
	if err != nil {
		return fmt.Errorf("QueryData: %w", err)
	}
	for i, query := range queries {
		answer := answers.Responses[refID(i)]
		report.answer(query, answer)
		checks.answer(refID(i), query, answer)
	}
	return checks.result(opts.assert, out)
}
