// interop/bosh/patch: applies ops files to a manifest by go-patch, the library
// that `bosh interpolate -o` uses. It stands in where the bosh CLI itself
// cannot be had; variables are not interpolated.
//
//	patch MANIFEST [OPS-FILE]...    the result on stdout, as YAML
package main

import (
	"fmt"
	"os"

	"github.com/cppforlife/go-patch/patch"
	"gopkg.in/yaml.v2"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func load(file string, into interface{}) {
	data, err := os.ReadFile(file)
	fail(err)
	fail(yaml.UnmarshalStrict(data, into))
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: patch MANIFEST [OPS-FILE]..."))
	}

	var doc interface{}
	load(os.Args[1], &doc)

	for _, file := range os.Args[2:] {
		var defs []patch.OpDefinition
		load(file, &defs)

		ops, err := patch.NewOpsFromDefinitions(defs)
		if err == nil {
			doc, err = ops.Apply(doc)
		}
		if err != nil {
			fail(fmt.Errorf("%s: %s", file, err))
		}
	}

	out, err := yaml.Marshal(doc)
	fail(err)
	os.Stdout.Write(out)
}
