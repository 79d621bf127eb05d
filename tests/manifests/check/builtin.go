package main

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

var builtInDecoder = newBuiltInDecoder()

func newBuiltInDecoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // the types disagree with themselves: no document can be judged
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// decodeBuiltIn refuses unknown kinds, unknown fields and values of the wrong type.
func decodeBuiltIn(document document) []string {
	if _, _, err := builtInDecoder.Decode(document.json, nil, nil); err != nil {
		return []string{err.Error()}
	}
	return nil
}
