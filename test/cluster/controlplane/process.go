package controlplane

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// process is one program of the control plane.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// run starts a program with a log in the directory.
func (p *Plane) run(program string, args ...string) error {
	name := filepath.Base(program)
	one := &process{name: name, log: p.file(name + ".log"), done: make(chan struct{})}
	log, err := os.Create(one.log)
	if err != nil {
		return err
	}
	defer log.Close()
	one.cmd = exec.Command(program, args...)
	one.cmd.Dir = p.dir
	one.cmd.Env = []string{"HOME=" + p.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + p.dir}
	one.cmd.Stdout, one.cmd.Stderr = log, log
	one.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := one.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(one.done)
		_ = one.cmd.Wait() // the log says more than the exit status
	}()
	p.processes = append(p.processes, one)
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// tail returns the end of the log.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(raw[max(0, len(raw)-4<<10):]))
}
