package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

const (
	maxRows  = 40
	maxWidth = 100
)

// report prints answers for a person or, as JSON lines, for a program.
type report struct {
	out    io.Writer
	format string
}

func (r *report) health(health *pluginv2.CheckHealthResponse) {
	if r.format == "json" {
		r.line(map[string]any{"health": health.Status.String(), "message": health.Message})
		return
	}
	fmt.Fprintf(r.out, "health: %s: %s\n\n", health.Status, health.Message)
}

// progress prints what a channel said of a question on its way, each word once.
func (r *report) progress(states []string) {
	if r.format == "json" {
		r.line(map[string]any{"live": states})
		return
	}
	fmt.Fprintln(r.out, "live:")
	for _, state := range slices.Compact(slices.Clone(states)) {
		fmt.Fprintf(r.out, "  %s\n", state)
	}
	fmt.Fprintln(r.out)
}

func (r *report) answer(query string, answer *pluginv2.DataResponse) {
	if r.format == "table" {
		fmt.Fprintf(r.out, "> %s\n", query)
	}
	if answer == nil {
		fmt.Fprintf(r.out, "no answer\n\n")
		return
	}
	if answer.Error != "" {
		r.failure(query, answer)
		return
	}
	frames, err := data.UnmarshalArrowFrames(answer.Frames)
	if err != nil {
		fmt.Fprintf(r.out, "cannot decode: %v\n\n", err)
		return
	}
	for _, frame := range frames {
		if r.format == "json" {
			r.line(map[string]any{"query": query, "frame": frame})
		} else {
			r.table(frame)
		}
	}
}

func (r *report) failure(query string, answer *pluginv2.DataResponse) {
	if r.format == "json" {
		r.line(map[string]any{"query": query, "status": answer.Status, "source": answer.ErrorSource, "error": answer.Error})
		return
	}
	fmt.Fprintf(r.out, "error %d (%s): %s\n\n", answer.Status, answer.ErrorSource, answer.Error)
}

func (r *report) line(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte(fmt.Sprintf("%q", err.Error()))
	}
	fmt.Fprintf(r.out, "%s\n", text)
}

// table prints a frame with its type, its notices and at most maxRows rows.
func (r *report) table(frame *data.Frame) {
	kind := ""
	if frame.Meta != nil {
		kind = fmt.Sprintf(" (%s %s)", frame.Meta.Type, frame.Meta.TypeVersion)
	}
	rows, err := frame.RowLen()
	if err != nil {
		fmt.Fprintf(r.out, "broken frame %s: %v\n\n", frame.Name, err)
		return
	}
	count := fmt.Sprintf("%d rows", rows)
	if rows == 1 {
		count = "1 row"
	}
	fmt.Fprintf(r.out, "frame %s%s, %s\n", frame.Name, kind, count)
	if rows == 1 {
		r.record(frame)
	} else {
		r.rows(frame, grid(frame, min(rows, maxRows)))
	}
	if rows > maxRows {
		fmt.Fprintf(r.out, "  … %d more\n", rows-maxRows)
	}
	r.notices(frame)
	fmt.Fprintln(r.out)
}

// record prints a single row downwards.
func (r *report) record(frame *data.Frame) {
	cells := grid(frame, 1)
	width := 0
	for _, name := range cells[0] {
		width = max(width, utf8.RuneCountInString(name))
	}
	for i, name := range cells[0] {
		fmt.Fprintf(r.out, "  %s%s  %s\n", name, strings.Repeat(" ", width-utf8.RuneCountInString(name)), cells[1][i])
	}
}

// rows prints the header, a rule and the rows below each other.
func (r *report) rows(frame *data.Frame, grid [][]string) {
	widths := make([]int, len(frame.Fields))
	for _, row := range grid {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range grid {
		fmt.Fprintln(r.out, " ", strings.TrimRight(padded(row, widths, frame), " "))
		if i == 0 {
			fmt.Fprintln(r.out, " ", rule(widths))
		}
	}
}

func (r *report) notices(frame *data.Frame) {
	if frame.Meta == nil {
		return
	}
	for _, notice := range frame.Meta.Notices {
		fmt.Fprintf(r.out, "  %s: %s\n", notice.Severity, notice.Text)
	}
}

// grid is the header and the rows as text.
func grid(frame *data.Frame, rows int) [][]string {
	header := make([]string, len(frame.Fields))
	for i, field := range frame.Fields {
		header[i] = title(field)
	}
	grid := [][]string{header}
	for row := range rows {
		line := make([]string, len(frame.Fields))
		for i, field := range frame.Fields {
			line[i] = cell(field, row)
		}
		grid = append(grid, line)
	}
	return grid
}

func title(field *data.Field) string {
	name := field.Name
	if len(field.Labels) > 0 {
		name += "{" + field.Labels.String() + "}"
	}
	if field.Config != nil && field.Config.Unit != "" {
		name += " [" + field.Config.Unit + "]"
	}
	return name
}

// cell is one value as text, on one line and not wider than maxWidth.
func cell(field *data.Field, row int) string {
	value, ok := field.ConcreteAt(row)
	if !ok {
		return "-"
	}
	text := ""
	switch value := value.(type) {
	case float64:
		text = number(field, value)
	case json.RawMessage:
		text = string(value)
	case time.Time:
		text = value.UTC().Format(time.RFC3339)
	default:
		text = fmt.Sprint(value)
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxWidth {
		text = string(runes[:maxWidth-1]) + "…"
	}
	return text
}

func number(field *data.Field, value float64) string {
	if field.Config != nil && field.Config.Decimals != nil {
		// Grafana counts the digits of a share after it was made a percentage.
		if field.Config.Unit == "percentunit" {
			return fmt.Sprintf("%.*f", *field.Config.Decimals+2, value)
		}
		return fmt.Sprintf("%.*f", *field.Config.Decimals, value)
	}
	return fmt.Sprintf("%.4g", value)
}

func padded(row []string, widths []int, frame *data.Frame) string {
	cells := make([]string, len(row))
	for i, text := range row {
		gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		if frame.Fields[i].Type().Numeric() {
			cells[i] = gap + text
		} else {
			cells[i] = text + gap
		}
	}
	return strings.Join(cells, "  ")
}

func rule(widths []int) string {
	rules := make([]string, len(widths))
	for i, width := range widths {
		rules[i] = strings.Repeat("-", width)
	}
	return strings.Join(rules, "  ")
}
