package fakeaws

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is one way to fail. The zero value of a field does nothing; the first field that is set, in
// the order below, decides the answer.
type Fault struct {
	Point Point  // required
	KeyID string // only requests of this key
	Times int    // how often; 0 means always

	// Delay is added before any other effect.
	Delay time.Duration
	// Drop closes the connection without an answer.
	Drop bool
	// Hang never answers, as when a packet was dropped because of its hop limit; it ends when the
	// client gives up.
	Hang bool
	// Status answers with this status and, if there is a Code, AWS's error.
	Status        int
	Code, Message string
	// RetryAfter is sent with Status, in whole seconds.
	RetryAfter time.Duration
	// Location is sent with a Status of 3xx.
	Location string
	// Body is sent with status 200 in place of the answer.
	Body string
	// Huge is the size in bytes of an answer with status 200. Its beginning is well-formed.
	Huge int
	// Drip sends the proper answer, one byte each interval.
	Drip time.Duration
}

// Inject adds a fault. Several faults at one point are used in order.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes every fault.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the next fault for a request and counts its Times down.
func (s *Server) fault(p Point, keyID string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Point != p || f.KeyID != "" && f.KeyID != keyID {
			continue
		}
		taken := *f
		switch f.Times {
		case 0:
		case 1:
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		default:
			f.Times--
		}
		return taken, true
	}
	return Fault{}, false
}

// answer is what a handler wants to send.
type answer struct {
	status      int
	contentType string
	body        string
}

// reply sends a, unless a fault decides otherwise, and records the call.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, c Call, proper func() answer) {
	s.mu.Lock()
	wait := s.latency[c.Point]
	s.mu.Unlock()
	f, bad := s.fault(c.Point, c.KeyID)
	if !pause(r, wait+f.Delay) {
		s.record(c)
		return
	}
	w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
	if !bad || f.gentle() {
		s.send(w, r, c, proper(), f.Drip)
		return
	}
	switch {
	case f.Drop:
		s.record(c)
		drop(w)
	case f.Hang:
		s.record(c)
		<-r.Context().Done()
	case f.Status != 0:
		s.send(w, r, c, f.refusal(w.Header()), 0)
	case f.Body != "":
		s.send(w, r, c, answer{http.StatusOK, "application/x-amz-json-1.1", f.Body}, 0)
	default:
		body := `{"authorizationData":[{"authorizationToken":"` + strings.Repeat("A", f.Huge)
		s.send(w, r, c, answer{http.StatusOK, "application/x-amz-json-1.1", body}, 0)
	}
}

// gentle reports whether the proper answer is sent in spite of the fault.
func (f Fault) gentle() bool {
	return !f.Drop && !f.Hang && f.Status == 0 && f.Body == "" && f.Huge == 0
}

func (f Fault) refusal(h http.Header) answer {
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	if f.Location != "" {
		h.Set("Location", f.Location)
	}
	return refuse(f.Point, f.Status, f.Code, f.Message)
}

// refuse returns an error in the form of the service: JSON for ECR, XML for STS.
func refuse(p Point, status int, code, message string) answer {
	switch {
	case code == "":
		return answer{status, "text/plain", http.StatusText(status)}
	case p.isSTS():
		return answer{status, "text/xml", fmt.Sprintf(
			"<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)}
	}
	return answer{status, "application/x-amz-json-1.1", fmt.Sprintf(`{"__type":%q,"message":%q}`, code, message)}
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, c Call, a answer, drip time.Duration) {
	c.Status = a.status
	s.record(c)
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	// A client that disconnects is not an error.
	if drip == 0 {
		_, _ = w.Write([]byte(a.body))
		return
	}
	for i := range len(a.body) {
		if !pause(r, drip) {
			return
		}
		_, _ = w.Write([]byte{a.body[i]})
		_ = http.NewResponseController(w).Flush()
	}
}

// pause waits; it returns false when the client has disconnected.
func pause(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}
