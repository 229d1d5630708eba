package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/lineage"
)

// version is set by the linker for releases, and revision where a build has no
// repository at hand, as in an image.
var (
	version  = "dev"
	revision string
)

// binaryInfo says which build this is.
func binaryInfo() lineage.Binary {
	b := lineage.Binary{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.VCS = s.Value + b.VCS
			case "vcs.modified":
				if s.Value == "true" {
					b.VCS += "+dirty"
				}
			}
		}
	}
	if b.VCS == "" {
		b.VCS = revision
	}
	return b
}

func versionCommand() command {
	return command{name: "version", summary: "print version, VCS revision and Go version", help: "Print version, VCS revision and Go version.",
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(_ context.Context, env *environment, args []string) error {
				if len(args) != 0 {
					return usagef("version: takes no arguments, has %q", args)
				}
				b := binaryInfo()
				if *asJSON {
					return json.NewEncoder(env.stdout).Encode(map[string]string{"version": b.Version, "vcs": b.VCS, "go": runtime.Version()})
				}
				_, err := fmt.Fprintf(env.stdout, "drivemill %s\nvcs %s\n%s %s/%s\n", b.Version, b.VCS, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		}}
}
