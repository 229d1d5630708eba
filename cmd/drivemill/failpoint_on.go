//go:build failpoints

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// failpoint, in builds for tests, kills the process or fails at the moment
// that DRIVEMILL_FAILPOINT names: "record:before=kill", "publish:between=fail".
var failpoint = func(name string) error {
	for _, p := range strings.Split(os.Getenv("DRIVEMILL_FAILPOINT"), ",") {
		at, what, _ := strings.Cut(p, "=")
		if at != name {
			continue
		}
		if what == "kill" {
			// SIGKILL leaves no chance to clean up, like a lost machine.
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return fmt.Errorf("failpoint %s", name)
	}
	return nil
}
