package main

import (
	"math"
	"testing"
)

func TestReducersDropWhatIsNoNumber(t *testing.T) {
	values := []float64{3, math.NaN(), 1, math.Inf(1)}
	for reducer, wanted := range map[string]float64{"last": 1, "mean": 2, "max": 3, "min": 1, "sum": 4, "count": 2} {
		if got, err := reduce(reducer, values); err != nil || got != wanted {
			t.Errorf("%s: %g, %v instead of %g", reducer, got, err, wanted)
		}
	}
	if got, _ := reduce("last", nil); !math.IsNaN(got) {
		t.Errorf("the last of nothing is %g", got)
	}
	if _, err := reduce("median", values); err == nil {
		t.Error("a reducer that is not known is evaluated")
	}
}

func TestANumberThatIsNoneFiresNothing(t *testing.T) {
	model := func(kind string) node {
		evaluator := map[string]any{"type": kind, "params": []any{1}}
		return node{Model: map[string]any{"conditions": []any{map[string]any{"evaluator": evaluator}}}}
	}
	for _, kind := range []string{"gt", "lt"} {
		judged, err := model(kind).threshold([]instance{{value: math.NaN()}, {value: 1}})
		if err != nil || judged[0].value != 0 || judged[1].value != 0 {
			t.Errorf("%s: %v, %v", kind, judged, err)
		}
	}
	if _, err := model("within_range").threshold([]instance{{value: 1}}); err == nil {
		t.Error("an evaluator that is not known is evaluated")
	}
}

func TestVariablesAreFilledInAsTheFrontendDoes(t *testing.T) {
	values := map[string][]string{"arm": {"a", "b"}, "metric": {"root_cause"}, "none": nil}
	query := expand(map[string]any{"arm": []any{"$arm"}, "metric": "${metric}", "run": "$none", "limit": 3.0}, values)
	if got := query["arm"].([]string); len(got) != 2 || query["metric"] != "root_cause" || query["run"] != "" {
		t.Errorf("%v", query)
	}
	if unknown := unknownVariables(map[string]any{"a": "$b ${__value}"}, values); len(unknown) != 1 || unknown[0] != "b" {
		t.Errorf("%v", unknown)
	}
}

func TestWhatIsProvisionedLoads(t *testing.T) {
	const dir = "../../provisioning"
	dashboards, err := loadDashboards(dir)
	if err != nil || len(dashboards) < 6 {
		t.Fatalf("%d dashboards, %v", len(dashboards), err)
	}
	rules, err := loadRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	var checks checks
	for _, rule := range rules {
		checks.complete(rule, dashboards)
	}
	for _, failed := range checks.failed {
		t.Error(failed)
	}
}
