package fakeregistry

import (
	"context"
	"net/http"
	"testing"
)

// After Settle a request is carried out whose client did not wait for the answer.
func TestSettle(t *testing.T) {
	s := Start(Options{})
	defer s.Close()
	for range 20 {
		s.Forget()
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		s.Intercept(func(http.ResponseWriter, *http.Request) bool {
			cancel()
			<-gone
			return false
		})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{}}
		if answer, err := client.Do(r); err == nil {
			answer.Body.Close()
			t.Fatal("the client was not interrupted")
		}
		client.CloseIdleConnections()
		close(gone)
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Requests(); len(got) != 1 || got[0].Status != http.StatusOK {
			t.Fatalf("%v, want one request that was carried out", got)
		}
	}
}
