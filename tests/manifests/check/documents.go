package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// document is one YAML document: the object, and the JSON it is decoded from.
type document struct {
	object map[string]any
	json   []byte
}

func (d document) apiVersion() string { return text(d.object["apiVersion"]) }
func (d document) kind() string       { return text(d.object["kind"]) }
func (d document) group() string      { group, _, _ := strings.Cut(d.apiVersion(), "/"); return group }

func (d document) name() string {
	metadata, _ := d.object["metadata"].(map[string]any)
	return d.kind() + "/" + text(metadata["name"])
}

func text(value any) string { s, _ := value.(string); return s }

// readDocuments splits a file; a key that is there twice is an error.
func readDocuments(file string) ([]document, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var documents []document
	reader := yamlreader.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		part, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		decoded, err := decode(part)
		if err != nil {
			return nil, err
		}
		if len(decoded.object) > 0 {
			documents = append(documents, decoded)
		}
	}
}

func decode(part []byte) (document, error) {
	asJSON, err := yaml.YAMLToJSONStrict(part)
	if err != nil {
		return document{}, err
	}
	var object map[string]any
	if err := json.Unmarshal(asJSON, &object); err != nil {
		return document{}, fmt.Errorf("not an object: %w", err)
	}
	return document{object, asJSON}, nil
}
