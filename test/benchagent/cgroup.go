package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroup limits the memory of the processes in it, with version 1 or 2 of the kernel's interface.
type cgroup struct {
	dir string
	v2  bool
}

// newCgroup makes a cgroup with a limit in bytes. It needs root. The caller must call remove.
func newCgroup(name string, limit int64) (*cgroup, error) {
	const top = "/sys/fs/cgroup"
	c := &cgroup{dir: filepath.Join(top, "memory", name)}
	files := map[string]string{"memory.limit_in_bytes": fmt.Sprint(limit), "memory.swappiness": "0"}
	if _, err := os.Stat(filepath.Join(top, "cgroup.controllers")); err == nil {
		c = &cgroup{dir: filepath.Join(top, name), v2: true}
		files = map[string]string{"memory.max": fmt.Sprint(limit), "memory.swap.max": "0"}
		if err := os.WriteFile(filepath.Join(top, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("a memory limit needs root and the memory controller: %w", err)
	}
	for file, value := range files {
		err := os.WriteFile(filepath.Join(c.dir, file), []byte(value), 0)
		if err != nil && !(file == "memory.swap.max" && errors.Is(err, os.ErrNotExist)) { // a kernel without swap
			return nil, errors.Join(err, os.Remove(c.dir))
		}
	}
	return c, nil
}

// killed reports whether the kernel has killed a process of the cgroup; c may be nil.
func (c *cgroup) killed() bool {
	if c == nil {
		return false
	}
	m, err := c.memory()
	return err == nil && m.kills > 0
}

// remove removes the cgroup. The kernel counts a process that has ended for a moment longer.
func (c *cgroup) remove(ctx context.Context) error {
	return until(context.WithoutCancel(ctx), time.Minute, c.dir+" is removed", func() bool {
		err := os.Remove(c.dir)
		return err == nil || errors.Is(err, os.ErrNotExist)
	})
}

// memory is what a cgroup has used.
type memory struct {
	peak  int64 // bytes, file cache included; 0 if the kernel does not say
	anon  int64 // bytes now that no write to a disk frees
	quiet int64 // the most of them before a flood
	kills int   // processes that the kernel killed because of the limit
}

func (c *cgroup) memory() (m memory, err error) {
	peak, events, anon := "memory.max_usage_in_bytes", "memory.oom_control", "total_rss"
	if c.v2 {
		peak, events, anon = "memory.peak", "memory.events", "anon"
	}
	if text, err := os.ReadFile(filepath.Join(c.dir, peak)); err == nil {
		if m.peak, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return m, err
		}
	}
	kills, err := c.field(events, "oom_kill")
	if err != nil {
		return m, err
	}
	m.kills = int(kills)
	m.anon, err = c.field("memory.stat", anon)
	return m, err
}

// field returns the number after a name in a file of the cgroup.
func (c *cgroup) field(file, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s/%s has no field %s", c.dir, file, name)
}
