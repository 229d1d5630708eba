package s3server

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startTied starts cmd so that it dies with this process, also when a test
// panics or times out. The kernel ties it to the thread that made it, which
// therefore is kept: the calling goroutine must last as long as cmd.
func startTied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Start()
}
