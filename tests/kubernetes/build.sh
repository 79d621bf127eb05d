#!/usr/bin/env bash
# Builds a kube-apiserver and an etcd from the Go modules, for the conformance suite of the watch.
#
#   tests/kubernetes/build.sh DIRECTORY
#
# leaves DIRECTORY/bin/kube-apiserver and DIRECTORY/bin/etcd, and does nothing where both are there already.
# Takes 6 to 9 minutes on two cores when the module and build caches are empty. Needs go and nothing else.
set -euo pipefail

KUBERNETES=v1.36.3
STAGING=v0.36.3
ETCD=v3.6.16

target=$(mkdir -p "${1:?usage: build.sh DIRECTORY}" && cd "$1" && pwd)
mkdir -p "$target/bin" "$target/kubernetes" "$target/etcd"
export GOFLAGS=-mod=mod CGO_ENABLED=0 GOWORK=off

build_etcd() {
    cd "$target/etcd"
    printf 'module conformance.test/etcd\n\ngo 1.26\n\nrequire go.etcd.io/etcd/server/v3 %s\n' "$ETCD" >go.mod
    go build -trimpath -o "$target/bin/etcd" go.etcd.io/etcd/server/v3
}

build_apiserver() {
    cd "$target/kubernetes"
    local source
    source=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    {
        printf 'module conformance.test/kubernetes\n\ngo 1.26\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$KUBERNETES"
        # Kubernetes replaces its staging modules by folders of its own tree, which hold only for its own module.
        sed -n 's#^\t\?\(replace \)\?\(k8s\.io/[a-z-]*\) => \./staging/.*#\2#p' "$source/go.mod" |
            sed "s#.*#\t& => & $STAGING#"
        printf ')\n'
    } >go.mod
    local version=k8s.io/component-base/version
    go build -trimpath -ldflags "-s -w -X $version.gitVersion=$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=36" \
        -o "$target/bin/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
}

[ -x "$target/bin/etcd" ] || build_etcd
[ -x "$target/bin/kube-apiserver" ] || build_apiserver
ls -l "$target/bin"
