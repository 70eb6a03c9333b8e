package main

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// dataSource is a data source as Grafana stores it: saving replaces everything but the secrets, which are only added to.
type dataSource struct {
	mu      sync.Mutex
	stored  stored
	secrets map[string]string
	version int64
}

type stored struct {
	ID               int64             `json:"id"`
	UID              string            `json:"uid"`
	Name             string            `json:"name"`
	Type             string            `json:"type"`
	Access           string            `json:"access"`
	URL              string            `json:"url"`
	BasicAuth        bool              `json:"basicAuth"`
	BasicAuthUser    string            `json:"basicAuthUser"`
	WithCredentials  bool              `json:"withCredentials"`
	ReadOnly         bool              `json:"readOnly"`
	Version          int64             `json:"version"`
	JSONData         json.RawMessage   `json:"jsonData"`
	SecureJSONFields map[string]bool   `json:"secureJsonFields"`
	SecureJSONData   map[string]string `json:"secureJsonData,omitempty"`
}

// save takes what a page or a provisioning file sends. A secret that is sent empty is forgotten.
func (d *dataSource) save(body io.Reader) error {
	var sent stored
	if err := json.NewDecoder(body).Decode(&sent); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.secrets == nil {
		d.secrets = map[string]string{}
	}
	for name, value := range sent.SecureJSONData {
		d.secrets[name] = value
		if value == "" {
			delete(d.secrets, name)
		}
	}
	d.version++
	sent.SecureJSONData = nil
	sent.Version = d.version
	d.stored = sent
	return nil
}

// public is what a page gets to see: which secrets there are, and none of them.
func (d *dataSource) public() stored {
	d.mu.Lock()
	defer d.mu.Unlock()
	shown := d.stored
	shown.SecureJSONFields = map[string]bool{}
	for name := range d.secrets {
		shown.SecureJSONFields[name] = true
	}
	return shown
}

// instance is what the plugin gets with each request.
func (d *dataSource) instance() *pluginv2.DataSourceInstanceSettings {
	d.mu.Lock()
	defer d.mu.Unlock()
	secrets := make(map[string]string, len(d.secrets))
	for name, value := range d.secrets {
		secrets[name] = value
	}
	return &pluginv2.DataSourceInstanceSettings{
		Id: d.stored.ID, Uid: d.stored.UID, Name: d.stored.Name, Url: d.stored.URL, BasicAuthEnabled: d.stored.BasicAuth,
		BasicAuthUser: d.stored.BasicAuthUser, JsonData: d.stored.JSONData, DecryptedSecureJsonData: secrets,
		LastUpdatedMS: 1700000000000 + d.version,
	}
}
