// Command registry is distribution's registry with the one driver the sandbox uses, the file system:
// tags survive a restart. The stock command links the drivers of three clouds as well, which costs
// a minute of compiling.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
