package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "istio.io/api/extensions/v1alpha1" // registers the messages
	meshconfig "istio.io/api/mesh/v1alpha1"
	_ "istio.io/api/networking/v1alpha3"
	_ "istio.io/api/security/v1beta1"
	_ "istio.io/api/telemetry/v1alpha1"
	"sigs.k8s.io/yaml"
)

// protoPackages tells where the spec of a group's kinds is declared: istiod decodes every served version with these.
var protoPackages = map[string]string{
	"extensions.istio.io": "istio.extensions.v1alpha1",
	"networking.istio.io": "istio.networking.v1alpha3",
	"security.istio.io":   "istio.security.v1beta1",
	"telemetry.istio.io":  "istio.telemetry.v1alpha1",
}

// decodeIstio decodes the spec as istiod does, but refuses unknown fields (istiod drops them without a word).
func decodeIstio(document document) []string {
	name := protoreflect.FullName(protoPackages[document.group()] + "." + document.kind())
	message, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return []string{fmt.Sprintf("no type for %s %s: %v", document.apiVersion(), document.kind(), err)}
	}
	spec, err := json.Marshal(document.object["spec"])
	if err != nil {
		return []string{err.Error()}
	}
	if err := protojson.Unmarshal(spec, message.New().Interface()); err != nil {
		return []string{err.Error()}
	}
	return nil
}

var errNoMeshConfig = errors.New("meshConfig is not an object")

// verifyMeshConfig takes a MeshConfig as the istio ConfigMap holds it, or wrapped in Helm values or in an IstioOperator.
func verifyMeshConfig(file string) ([]Finding, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := decodeMeshConfig(content); err != nil {
		return []Finding{{file, "MeshConfig", "mesh-config", err.Error()}}, nil
	}
	return nil, nil
}

func decodeMeshConfig(content []byte) error {
	outer, err := decode(content)
	if err != nil {
		return err
	}
	inner := outer.object
	if spec, wrapped := inner["spec"].(map[string]any); wrapped && outer.kind() == "IstioOperator" {
		inner = spec
	}
	if value, wrapped := inner["meshConfig"]; wrapped {
		config, ok := value.(map[string]any)
		if !ok {
			return errNoMeshConfig
		}
		inner = config
	}
	asYAML, err := yaml.Marshal(inner)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSONStrict(asYAML)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(asJSON, &meshconfig.MeshConfig{})
}
