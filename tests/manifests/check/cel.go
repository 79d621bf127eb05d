package main

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// Attributes that Envoy gives to a filter expression (Envoy documentation, "Attributes"). Envoy itself takes any name and
// drops the entry if it is not there, without a message.
var attributes = map[string]map[string]*apiservercel.DeclType{
	"request": {
		"path": stringType, "url_path": stringType, "host": stringType, "scheme": stringType, "method": stringType,
		"headers": headersType, "referer": stringType, "useragent": stringType, "time": apiservercel.TimestampType,
		"id": stringType, "protocol": stringType, "query": stringType, "duration": apiservercel.DurationType,
		"size": intType, "total_size": intType,
	},
	"response": {
		"code": intType, "code_details": stringType, "flags": intType, "grpc_status": intType, "headers": headersType,
		"trailers": headersType, "size": intType, "total_size": intType, "backend_latency": apiservercel.DurationType,
	},
	"source":      {"address": stringType, "port": intType},
	"destination": {"address": stringType, "port": intType},
	"connection": {
		"id": intType, "mtls": apiservercel.BoolType, "requested_server_name": stringType, "tls_version": stringType,
		"uri_san_local_certificate": stringType, "uri_san_peer_certificate": stringType, "termination_details": stringType,
	},
	"upstream": {
		"address": stringType, "port": intType, "tls_version": stringType, "uri_san_peer_certificate": stringType,
		"transport_failure_reason": stringType, "request_attempt_count": intType,
	},
	"xds": {
		"cluster_name": stringType, "route_name": stringType, "listener_direction": intType,
		"virtual_host_name": stringType, "filter_chain_name": stringType,
	},
}

var (
	stringType  = apiservercel.StringType
	intType     = apiservercel.IntType
	headersType = apiservercel.NewMapType(stringType, stringType, -1)
)

// samples are entries whose fate is known: a probe of the kubelet is dropped, everything else is kept.
var samples = []struct {
	name    string
	request map[string]any
	kept    bool
}{
	{"a request with a User-Agent", map[string]any{"useragent": "curl/8.5.0"}, true},
	{"a request without User-Agent", map[string]any{}, true},
	{"a probe of the kubelet", map[string]any{"useragent": "kube-probe/1.33"}, false},
}

// accessLogFilterFaults judges the filters of a Telemetry.
func accessLogFilterFaults(document document) []string {
	spec, _ := document.object["spec"].(map[string]any)
	logging, _ := spec["accessLogging"].([]any)
	var faults []string
	for _, entry := range logging {
		fields, _ := entry.(map[string]any)
		filter, _ := fields["filter"].(map[string]any)
		if expression := text(filter["expression"]); expression != "" {
			faults = append(faults, expressionFaults(expression)...)
		}
	}
	return faults
}

func expressionFaults(expression string) []string {
	environment, err := newEnvironment()
	if err != nil {
		return []string{err.Error()}
	}
	checked, issues := environment.Compile(expression)
	if issues.Err() != nil {
		return []string{issues.Err().Error()}
	}
	if !checked.OutputType().IsExactType(types.BoolType) {
		return []string{fmt.Sprintf("%q gives %s, not a boolean", expression, checked.OutputType())}
	}
	program, err := environment.Program(checked)
	if err != nil {
		return []string{err.Error()}
	}
	return sampleFaults(expression, program)
}

func newEnvironment() (*cel.Env, error) {
	base, err := cel.NewEnv()
	if err != nil {
		return nil, err
	}
	var objects []*apiservercel.DeclType
	var options []cel.EnvOption
	for name, fields := range attributes {
		object := apiservercel.NewObjectType("envoy."+name, declare(fields))
		objects = append(objects, object)
		options = append(options, cel.Variable(name, object.CelType()))
	}
	provider := apiservercel.NewDeclTypeProvider(objects...)
	declared, err := provider.EnvOptions(base.CELTypeProvider())
	if err != nil {
		return nil, err
	}
	return base.Extend(append(declared, options...)...)
}

func declare(fields map[string]*apiservercel.DeclType) map[string]*apiservercel.DeclField {
	declared := map[string]*apiservercel.DeclField{}
	for name, kind := range fields {
		declared[name] = apiservercel.NewDeclField(name, kind, false, nil, nil)
	}
	return declared
}

func sampleFaults(expression string, program cel.Program) []string {
	var faults []string
	for _, sample := range samples {
		entry := map[string]any{"request": sample.request}
		for _, name := range []string{"response", "source", "destination", "connection", "upstream", "xds"} {
			entry[name] = map[string]any{}
		}
		kept, _, err := program.Eval(entry)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%q fails on %s, which drops its entry: %v", expression, sample.name, err))
		} else if kept != types.Bool(sample.kept) {
			faults = append(faults, fmt.Sprintf("%q is %v for %s", expression, kept, sample.name))
		}
	}
	return faults
}
