package helper

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// expiry reads the claim exp of a secret that is a JWT, without a check of its signature. It is zero
// for any other secret, and for a claim that is no time before the year 10000.
func expiry(secret string) time.Time {
	parts := strings.Split(secret, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims struct {
		Expires json.Number `json:"exp"`
	}
	if !decode(parts[0], &header) || header.Algorithm == "" || !decode(parts[1], &claims) {
		return time.Time{}
	}
	// A NumericDate may have a fraction.
	seconds, err := claims.Expires.Float64()
	if err != nil || seconds <= 0 || seconds >= latest {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// latest is the beginning of the year 10000, which JSON cannot hold, in seconds since 1970.
const latest = 253402300800

func decode(part string, to any) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	return err == nil && json.Unmarshal(b, to) == nil
}
