package blackhole

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A server answers, disappears, and answers again on the same port.
func TestSwallowAndOpen(t *testing.T) {
	p, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(p) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})

	for range 3 {
		get(t, p)
		before := time.Now()
		died, err := p.Swallow()
		if err != nil {
			t.Fatal(err)
		}
		if died.Before(before) || died.After(time.Now()) {
			t.Errorf("died at %s, which is not now", died)
		}
		// The kernel sends the second SYN after one second.
		c, err := net.DialTimeout("tcp4", p.Addr().String(), 1500*time.Millisecond)
		if err == nil {
			c.Close()
			t.Fatal("a dial came through")
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("a dial ended with %v, and must wait", err)
		}
		if _, err := p.Swallow(); err == nil {
			t.Error("it swallowed twice")
		}
		if err := p.Open(); err != nil {
			t.Fatal(err)
		}
		if err := p.Open(); err == nil {
			t.Error("it opened twice")
		}
	}
	get(t, p)
}

// Connections that were open when the server disappeared are cut, also those that wait for an
// answer.
func TestSwallowCuts(t *testing.T) {
	p, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	accepted := make(chan error, 1)
	go func() {
		_, err := p.Accept() // and never closes it
		accepted <- err
	}()
	c, err := net.Dial("tcp4", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	if _, err := p.Swallow(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) || isTimeout(err) {
		t.Errorf("read ended with %v, the connection is not cut", err)
	}
}

// An Accept that waits for the port to open ends when it is closed.
func TestCloseWakesAccept(t *testing.T) {
	p, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Swallow(); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := p.Accept()
		accepted <- err
	}()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept ended with %v", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func get(t *testing.T, p *Port) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(p.URL("http"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "here" {
		t.Fatalf("got %q (%v)", body, err)
	}
}
