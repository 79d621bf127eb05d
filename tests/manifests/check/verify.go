package main

import "strings"

const checkDecode = "decode"

// verifyFile runs every check that fits each document of the file.
func verifyFile(file string, crds crds) ([]Finding, error) {
	documents, err := readDocuments(file)
	if err != nil {
		return []Finding{{file, "", checkDecode, err.Error()}}, nil
	}
	var findings []Finding
	for _, document := range documents {
		for check, faults := range faultsOf(document, crds) {
			for _, fault := range faults {
				findings = append(findings, Finding{file, document.name(), check, fault})
			}
		}
	}
	return findings, nil
}

func faultsOf(document document, crds crds) map[string][]string {
	if !strings.HasSuffix(document.group(), ".istio.io") {
		return map[string][]string{checkDecode: decodeBuiltIn(document)}
	}
	return map[string][]string{
		"crd":   crds.faults(document),
		"types": decodeIstio(document),
		"cel":   accessLogFilterFaults(document),
	}
}
