// Decodes the manifests on standard input into the types of Kubernetes' own API and of the Prometheus
// operator's, strictly: a field that they don't have, one that is there twice, or a value of another type
// fails. Prints the kind and the name of each.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	if err := decode(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func decode(input io.Reader) error {
	types := runtime.NewScheme()
	groups := runtime.NewSchemeBuilder(apps.AddToScheme, autoscaling.AddToScheme, core.AddToScheme,
		monitoring.AddToScheme, networking.AddToScheme, policy.AddToScheme)
	if err := groups.AddToScheme(types); err != nil {
		return err
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(input))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return fmt.Errorf("%w, in:\n%.200s", err, document)
		}
		about, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		fmt.Printf("%s/%s %s\n", kind.GroupVersion(), kind.Kind, about.GetName())
	}
}
