// Command check renders this project's kustomizations and holds Kubernetes and Istio documents against the code that reads
// them in a cluster: the Kubernetes types, decoded strictly; Istio's custom resource definitions, by the API server's own
// validator (unknown fields and CEL rules included); Istio's protobuf types, by protojson; and the CEL of access log filters.
//
//	check render DIR                       the kustomization's documents, as YAML
//	check verify -crds FILE FILE...        what is wrong with the documents, as a JSON array of findings
//	check mesh-config FILE...              the same for MeshConfig files
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Finding is one fault of one document.
type Finding struct {
	File     string `json:"file"`
	Document string `json:"document"` // Kind/name
	Check    string `json:"check"`    // decode, crd, types, mesh-config or cel
	Message  string `json:"message"`
}

var errUsage = errors.New("usage: check render DIR | check verify -crds FILE FILE... | check mesh-config FILE...")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "render":
		return render(args[1])
	case len(args) > 3 && args[0] == "verify" && args[1] == "-crds":
		crds, err := loadCRDs(args[2])
		if err != nil {
			return err
		}
		return report(args[3:], func(file string) ([]Finding, error) { return verifyFile(file, crds) })
	case len(args) > 1 && args[0] == "mesh-config":
		return report(args[1:], verifyMeshConfig)
	}
	return errUsage
}

func report(files []string, verify func(string) ([]Finding, error)) error {
	all := []Finding{}
	for _, file := range files {
		found, err := verify(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, found...)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}
