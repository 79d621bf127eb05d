package main

import (
	"context"
	"fmt"
	"math"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// crds holds the schema of every served version, by "group/version Kind".
type crds map[string]*apiextensions.JSONSchemaProps

func loadCRDs(file string) (crds, error) {
	documents, err := readDocuments(file)
	if err != nil {
		return nil, err
	}
	loaded := crds{}
	for _, document := range documents {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(document.json, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", document.name(), err)
		}
		if err := loaded.add(&definition); err != nil {
			return nil, fmt.Errorf("%s: %w", document.name(), err)
		}
	}
	return loaded, nil
}

func (c crds) add(definition *apiextensionsv1.CustomResourceDefinition) error {
	for _, version := range definition.Spec.Versions {
		if !version.Served || version.Schema == nil {
			continue
		}
		var internal apiextensions.JSONSchemaProps
		err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			version.Schema.OpenAPIV3Schema, &internal, nil)
		if err != nil {
			return err
		}
		c[definition.Spec.Group+"/"+version.Name+" "+definition.Spec.Names.Kind] = &internal
	}
	return nil
}

// faults says what an API server with these definitions would refuse, and which fields it would drop.
func (c crds) faults(document document) []string {
	key := document.apiVersion() + " " + document.kind()
	definition, served := c[key]
	if !served {
		return []string{"no definition serves " + key}
	}
	structural, err := schema.NewStructural(definition)
	if err != nil {
		return []string{err.Error()}
	}
	validator, _, err := validation.NewSchemaValidator(definition)
	if err != nil {
		return []string{err.Error()}
	}
	object := runtime.DeepCopyJSON(document.object)
	faults := unknownFields(object, structural)
	defaulting.Default(object, structural)
	for _, fault := range validation.ValidateCustomResource(nil, object, validator) {
		faults = append(faults, fault.Error())
	}
	return append(faults, brokenRules(object, structural)...)
}

// unknownFields prunes the object.
func unknownFields(object map[string]any, structural *schema.Structural) []string {
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	var faults []string
	for _, path := range pruning.PruneWithOptions(object, structural, true, options) {
		faults = append(faults, "unknown field "+path)
	}
	return faults
}

// brokenRules evaluates x-kubernetes-validations.
func brokenRules(object map[string]any, structural *schema.Structural) []string {
	rules := cel.NewValidator(structural, true, math.MaxInt64)
	errors, _ := rules.Validate(context.Background(), nil, structural, object, nil, math.MaxInt64)
	var faults []string
	for _, fault := range errors {
		faults = append(faults, fault.Error())
	}
	return faults
}
