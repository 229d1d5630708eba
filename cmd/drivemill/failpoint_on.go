//go:build failpoints

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

var waited sync.Once

// failpoint, in builds for tests, kills the process or fails at the moment
// that DRIVEMILL_FAILPOINT names: "record:before=kill", "publish:between=fail".
// DRIVEMILL_FAILPOINT_LOG names a file to which every moment is appended.
var failpoint = func(name string) error {
	if log := os.Getenv("DRIVEMILL_FAILPOINT_LOG"); log != "" {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, strings.ReplaceAll(name, " ", "_"))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
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
		if what == "wait" {
			// The first to come here makes a file, and waits until it is gone.
			gate := os.Getenv("DRIVEMILL_FAILPOINT_GATE")
			waited.Do(func() {
				if err := os.WriteFile(gate, nil, 0o644); err != nil {
					panic(err)
				}
				for {
					if _, err := os.Stat(gate); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
			return nil
		}
		return fmt.Errorf("failpoint %s", name)
	}
	return nil
}
