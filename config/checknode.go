package config

import (
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

func (c *checker) health(s *location) {
	h := &c.cfg.Health
	c.oneOf(s.Field("mode"), string(h.Mode), string(HealthWithdraw), string(HealthReport), string(HealthOff))
	interval, timeout := time.Duration(h.Interval), time.Duration(h.Timeout)
	badInterval := interval < time.Second || interval > time.Hour
	if badInterval {
		at := s.Field("interval")
		c.reject(at, at.Written(), "must be from 1s to 1h")
	}
	switch at := s.Field("timeout"); {
	case timeout < 100*time.Millisecond || timeout > time.Minute:
		c.reject(at, at.Written(), "must be from 100ms to 1m")
	case badInterval:
	case timeout > interval && at.Unset():
		at := s.Field("interval")
		c.reject(at, at.Written(), "must not be shorter than timeout, whose default is %s", h.Timeout)
	case timeout > interval:
		c.reject(at, at.Written(), "must not be longer than interval (%s)", h.Interval)
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"failures", h.Failures}, {"successes", h.Successes}} {
		if f.value < 1 || f.value > 100 {
			c.reject(s.Field(f.name), strconv.Itoa(f.value), "must be from 1 to 100")
		}
	}
}

func (c *checker) proxy(s *location) {
	p := &c.cfg.Proxy
	c.proxyURL(s.Field("httpProxy"), p.HTTPProxy)
	c.proxyURL(s.Field("httpsProxy"), p.HTTPSProxy)
	if hasControl(p.NoProxy) {
		c.reject(s.Field("noProxy"), p.NoProxy, "must be names and networks separated by commas, in one line")
	}
}

// proxyURL checks a proxy address as Go's HTTP client, and so containerd, reads it: the scheme is
// optional. The address may hold a login, so no part of it is shown.
func (c *checker) proxyURL(s *location, secret redact.Secret) {
	written := secret.Reveal()
	if written == "" {
		return
	}
	if !strings.Contains(written, "://") {
		written = "http://" + written
	}
	u, err := url.Parse(written)
	const form = "write http://[user:password@]host:port"
	switch {
	case hasControl(written) || strings.Contains(written, " "):
		c.refuse(s, "must not contain spaces or control characters; %s", form)
	case err != nil:
		c.refuse(s, "is not a URL; %s", form)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		c.refuse(s, "scheme must be http, https, socks5 or socks5h")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		c.refuse(s, "must not have a path, a query or a fragment; %s", form)
	default:
		if _, err := hostport.Parse(u.Host); err != nil {
			c.refuse(s, "%s; %s", err, form)
		}
		if _, hasPassword := u.User.Password(); hasPassword {
			c.inlineProxy(s)
		}
	}
}

// inlineProxy warns about a readable password in a proxy address. There is not a field that could
// hold it in a separate file.
func (c *checker) inlineProxy(s *location) {
	if c.mode.Perm()&0o044 != 0 {
		c.warn(s, "others on this machine can read %s (mode %04o) and so the password in it; chmod 0600", c.File, c.mode.Perm())
	}
}

func (c *checker) containerd(s *location) {
	d := &c.cfg.Containerd
	c.oneOf(s.Field("onConflict"), string(d.OnConflict), string(ConflictReport), string(ConflictAdopt))
	at := s.Field("certsDir")
	if strings.Contains(d.CertsDir, ":") && !hasControl(d.CertsDir) {
		c.reject(at, d.CertsDir, "must be one directory: containerd 2.1 and newer ignore a list in config_path for most pulls")
		return
	}
	c.certsDir(at, d.CertsDir, "/etc/containerd/certs.d")
}

func (c *checker) docker(s *location) {
	d := &c.cfg.Docker
	c.oneOf(s.Field("mode"), string(d.Mode), string(DockerAuto), string(DockerOn), string(DockerOff))
	at := s.Field("certsDir")
	theirs := c.cfg.Containerd.CertsDir
	// Only a file that has the section can be at fault: the default must not break another file.
	if c.certsDir(at, d.CertsDir, "/etc/docker/certs.d") && !s.Unset() && d.CertsDir != theirs &&
		(strings.HasPrefix(d.CertsDir, theirs+"/") || strings.HasPrefix(theirs, d.CertsDir+"/")) {
		c.reject(at, d.CertsDir, "must not be above or below containerd.certsDir; write /etc/docker/certs.d")
	}
}

// certsDir checks a directory of hosts.toml files, and reports whether it is valid.
func (c *checker) certsDir(at *location, dir, example string) bool {
	switch {
	case hasControl(dir):
		c.reject(at, dir, "must not contain control characters")
	case !path.IsAbs(dir) || dir == "/":
		c.reject(at, dir, "must be an absolute path, such as %s", example)
	case path.Clean(dir) != dir:
		message := "must be a clean path"
		if clean := at.Shown(path.Clean(dir)); clean != "" {
			message += "; write " + syntax.Cut(clean)
		}
		c.reject(at, dir, "%s", message)
	default:
		return true
	}
	return false
}
