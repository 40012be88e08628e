package cli

import "testing"

func TestCheckListen(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "127.0.0.1:9474": true, ":9474": true, "[::1]:0": true, "localhost:http": true,
		"9474": false, "127.0.0.1": false, "127.0.0.1:port": false, "127.0.0.1:99999": false,
	} {
		if err := CheckListen(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
