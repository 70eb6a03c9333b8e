package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// service is what compose.yaml says of one, as far as it is checked here.
type service struct {
	Image       string
	Restart     string
	Ports       []string
	Volumes     []string
	Labels      map[string]string
	Environment map[string]string
	SecurityOpt []string       `yaml:"security_opt"`
	CapDrop     []string       `yaml:"cap_drop"`
	Logging     map[string]any `yaml:"logging"`
	Healthcheck struct{ Test []string }
}

var (
	// pinned is a version, and not the name of a moving target.
	pinned = regexp.MustCompile(`:(v?\d+\.\d+\.\d+|server-b\d+|[a-z]+-\d{8}-slim)$`)
	secret = regexp.MustCompile(`PASSWORD|SECRET|KEY`)
	// built are the mounted paths that `just up` makes.
	built = regexp.MustCompile(`^(\./dist|\$\{ASSAY_BINARY.*)$`)
)

// TestCompose holds compose.yaml to what it promises: versions pinned, nothing beyond this machine, no password in clear,
// no more rights than needed, health known, and logs that some standing question reads.
func TestCompose(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	sources, err := os.ReadFile(filepath.Join(root, "provisioning", "datasources", "assay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Services) < 7 {
		t.Fatalf("compose.yaml has only %d services", len(file.Services))
	}
	for name, one := range file.Services {
		t.Run(name, func(t *testing.T) { one.check(t, root, string(sources)) })
	}
}

func (s service) check(t *testing.T, root, sources string) {
	expect := func(holds bool, format string, args ...any) {
		t.Helper()
		if !holds {
			t.Errorf(format, args...)
		}
	}
	expect(pinned.MatchString(s.Image), "the image %s has no version", s.Image)
	expect(strings.Join(s.CapDrop, " ") == "ALL", "it keeps its capabilities")
	expect(strings.Join(s.SecurityOpt, " ") == "no-new-privileges:true", "it may gain privileges")
	expect(s.Logging != nil, "its log may grow without end")
	expect(s.Restart == "no" || len(s.Healthcheck.Test) > 1, "nobody asks whether it is healthy")
	for _, port := range s.Ports {
		expect(strings.HasPrefix(port, "127.0.0.1:"), "the port %s is open beyond this machine", port)
	}
	for key, value := range s.Environment {
		hidden := !secret.MatchString(key) || strings.HasPrefix(value, "${") || value == "true" || value == "false"
		expect(hidden, "%s stands in clear", key)
	}
	for _, volume := range s.Volumes {
		from, _, _ := strings.Cut(strings.ReplaceAll(volume, ":-", "|"), ":")
		if !strings.HasPrefix(from, ".") || built.MatchString(from) {
			continue
		}
		_, err := os.Stat(filepath.Join(root, from))
		expect(err == nil, "it mounts %s, which does not exist", from)
	}
	asked := `expr: '{namespace="` + s.Labels["assay.namespace"] + `"}'`
	expect(strings.Contains(sources, asked), "no standing question reads the logs of namespace %q", s.Labels["assay.namespace"])
}
