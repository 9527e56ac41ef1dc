package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// own are the keys whose values differ from node to node. All others say how
// the cluster treats mail, and are the same everywhere.
var own = []string{"node", "hostname", "data", "cluster", "admin", "tls", "certificates", "listeners"}

// Shared is the part of the file that another node's file can have word for
// word, as YAML.
func (f *File) Shared() ([]byte, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("read the configuration: it has no keys")
	}
	pairs := doc.Content[0].Content
	shared := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(pairs); i += 2 {
		if !slices.Contains(own, pairs[i].Value) {
			shared.Content = append(shared.Content, pairs[i], pairs[i+1])
		}
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(shared), e.Close()); err != nil {
		return nil, fmt.Errorf("write the shared configuration: %w", err)
	}
	return out.Bytes(), nil
}
