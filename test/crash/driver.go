package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// result is the outcome of the trials with one writer.
type result struct {
	writer    string
	trials    int
	inside    int             // kills that happened inside a write
	steps     map[string]bool // the kinds of steps at which kills happened
	reads     int
	tornReads int
	tornFiles int // found after a kill, before the next apply
	temps     int // left after the next apply
	examples  []string
}

const (
	// maxDelay is the latest time of a kill after the child's first write began.
	maxDelay = 40 * time.Millisecond
	// maxStep is more than a child makes in its first two writes.
	maxStep = 700
	// stepStride is coprime to maxStep, so that maxStep trials visit every step and fewer trials
	// are spread over all of them.
	stepStride = 223
)

// drive kills children that write below dir, and inspects the files after each.
func drive(name, dir string, trials int, seed int64) (result, error) {
	res := result{writer: name, trials: trials, steps: map[string]bool{}}
	rnd := rand.New(rand.NewSource(seed))
	w, err := openWriter(name, dir, nil)
	if err != nil {
		return res, err
	}
	defer w.close()
	rd := startReader(dir)
	defer func() {
		if rd != nil {
			rd.end()
		}
	}()
	for i := range trials {
		t := trial{writer: name, dir: dir, seed: rnd.Int63()}
		if i%2 == 0 {
			t.at = 1 + (i/2*stepStride+int(seed%maxStep))%maxStep
		} else {
			t.delay = time.Duration(rnd.Int63n(int64(maxDelay)))
		}
		died, err := t.run()
		if err != nil {
			return res, fmt.Errorf("trial %d: %w", i, err)
		}
		if died.inside {
			res.inside++
		}
		if died.step != "" {
			res.steps[died.step] = true
		}
		torn, _, err := inspect(dir)
		if err != nil {
			return res, err
		}
		res.tornFiles += len(torn)
		res.examples = append(res.examples, torn...)
		if err := w.apply(wanted(rnd)); err != nil {
			return res, fmt.Errorf("trial %d: apply after the kill: %w", i, err)
		}
		torn, temps, err := inspect(dir)
		if err != nil {
			return res, err
		}
		res.tornFiles += len(torn)
		res.temps += len(temps)
		res.examples = append(res.examples, append(torn, temps...)...)
	}
	rd.end()
	res.reads, res.tornReads = rd.reads, rd.torn
	res.examples = append(res.examples, rd.examples...)
	res.examples = res.examples[:min(len(res.examples), 5)]
	rd = nil
	if b, ok := w.(*berth); ok {
		return res, b.restoreAll(dir)
	}
	return res, nil
}

// restoreAll checks that restore removes everything that the children wrote.
func (b *berth) restoreAll(dir string) error {
	if _, err := b.store.Restore(context.Background()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	var left []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, p)
		}
		return err
	})
	if len(left) > 0 {
		return fmt.Errorf("after restore there is still %v", left)
	}
	return err
}

// trial is one child.
type trial struct {
	writer, dir string
	seed        int64
	at          int           // the step at which it kills itself, or
	delay       time.Duration // how long it may write
}

// childState is what the driver knows about the end of a child.
type childState struct {
	inside bool
	step   string
}

func (t trial) run() (childState, error) {
	self, err := os.Executable()
	if err != nil {
		return childState{}, err
	}
	cmd := exec.Command(self, "child", "-dir", t.dir, "-writer", t.writer,
		"-seed", fmt.Sprint(t.seed), "-at", fmt.Sprint(t.at))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return childState{}, err
	}
	if err := cmd.Start(); err != nil {
		return childState{}, err
	}
	said := listen(out)
	if t.at == 0 {
		said.wait()
		time.Sleep(t.delay)
		if err := cmd.Process.Kill(); err != nil {
			return childState{}, err
		}
	}
	<-said.ended
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		return childState{}, fmt.Errorf("the child was not killed: %w: %s", err, stderr.String())
	}
	return said.childState(), nil
}

// listener keeps the child's output.
type listener struct {
	first chan struct{} // closed at the first output, or at the end
	ended chan struct{}
	mu    sync.Mutex
	last  []byte
}

func listen(r io.Reader) *listener {
	l := &listener{first: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		var once sync.Once
		defer once.Do(func() { close(l.first) })
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			l.mu.Lock()
			l.last = append(l.last, buf[:n]...)
			l.last = l.last[max(0, len(l.last)-64):]
			l.mu.Unlock()
			if n > 0 {
				once.Do(func() { close(l.first) })
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *listener) wait() { <-l.first }

// childState returns the child's position, once it has ended.
func (l *listener) childState() childState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := string(l.last)
	if i := strings.LastIndex(s, sayStep); i >= 0 {
		return childState{inside: true, step: strings.TrimSpace(s[i+len(sayStep):])}
	}
	return childState{inside: strings.HasSuffix(s, sayBegin)}
}

// inspect looks for torn and for temporary files while no process writes.
func inspect(dir string) (torn, temps []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := "/" + strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(p, dir)), "/")
		if strings.HasPrefix(d.Name(), "_berth-tmp-") {
			temps = append(temps, rel)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		host := strings.HasPrefix(rel, certs+"/")
		switch {
		case host && d.IsDir():
			if _, err := os.Lstat(filepath.Join(p, "hosts.toml")); err != nil {
				torn = append(torn, rel+": without hosts.toml")
			}
		case host:
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if !whole(rel, content) {
				torn = append(torn, rel+": torn")
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return torn, temps, err
}
