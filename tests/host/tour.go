package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-plugin-sdk-go/data"
)

// tour is a query of each type over whatever the store holds; what needs one run is asked of the last, what needs two of
// the last two.
func tour(ctx context.Context, host *host) ([]string, error) {
	list := `{"queryType":"runs"}`
	answers, err := host.query(ctx, false, roleAdmin, list)
	if err != nil {
		return nil, fmt.Errorf("QueryData: %w", err)
	}
	frames, err := data.UnmarshalArrowFrames(answers.Responses["A"].GetFrames())
	if err != nil {
		return nil, fmt.Errorf("cannot decode the runs: %w", err)
	}
	runs := published(frames)
	queries := []string{
		list, `{"queryType":"metrics","anyTime":true}`, `{"queryType":"tradeoff"}`, `{"queryType":"prompts"}`,
		`{"queryType":"annotations"}`,
	}
	if len(runs) >= 2 {
		queries = append(queries,
			object("queryType", "compare", "a", runs[1], "b", runs[0]),
			object("queryType", "cases", "run", runs[0], "against", runs[1]))
	}
	if len(runs) >= 1 {
		queries = append(queries,
			object("queryType", "analyze", "run", runs[0]),
			object("queryType", "attribution", "run", runs[0]))
	}
	return queries, nil
}

// published are the ids of the runs that are finished, newest first.
func published(frames data.Frames) []string {
	var runs []string
	for _, frame := range frames {
		run, _ := frame.FieldByName("run")
		status, _ := frame.FieldByName("status")
		if run == nil || status == nil {
			continue
		}
		for row := range run.Len() {
			id, _ := run.ConcreteAt(row)
			if state, ok := status.ConcreteAt(row); ok && state == "published" {
				runs = append(runs, fmt.Sprint(id))
			}
		}
	}
	return runs
}

// object writes pairs of names and values as JSON.
func object(pairs ...string) string {
	values := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	text, err := json.Marshal(values)
	if err != nil {
		return "{}"
	}
	return string(text)
}
