package ecr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature Version 4, as much of it as three POST requests need. The signer
// of the AWS SDK brings a tenth of the credential provider's warm run time
// merely by being linked; a test holds this one against it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
const (
	signAlgorithm = "AWS4-HMAC-SHA256"
	signTime      = "20060102T150405Z"
)

// sign signs req, whose body is body, for a, with all headers that it has by
// now. The keys are printable, see [StaticKeys].
func sign(req *http.Request, body string, a api, k keys, at time.Time) {
	stamp := at.UTC().Format(signTime)
	req.Header.Set("X-Amz-Date", stamp)
	if k.session != "" {
		req.Header.Set("X-Amz-Security-Token", k.session)
	}
	names, headers := canonicalHeaders(req, len(body))
	canonical := strings.Join([]string{
		req.Method,
		escapePath(req.URL.EscapedPath()),
		canonicalQuery(req.URL.Query()),
		headers,
		names,
		hexSum(body),
	}, "\n")
	scope := strings.Join([]string{stamp[:len("20060102")], a.region, a.service, "aws4_request"}, "/")
	key := []byte("AWS4" + k.secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hmacSum(key, part)
	}
	signature := hmacSum(key, strings.Join([]string{signAlgorithm, stamp, scope, hexSum(canonical)}, "\n"))
	req.Header.Set("Authorization", signAlgorithm+" Credential="+k.id+"/"+scope+
		", SignedHeaders="+names+", Signature="+hex.EncodeToString(signature))
}

// canonicalHeaders gives the names of the headers that are signed and, a line
// each, their values.
func canonicalHeaders(req *http.Request, length int) (names, lines string) {
	values := map[string]string{"host": req.URL.Host, "content-length": strconv.Itoa(length)}
	sorted := []string{"host", "content-length"}
	for name, v := range req.Header {
		name = strings.ToLower(name)
		sorted = append(sorted, name)
		values[name] = strings.Join(strings.Fields(strings.Join(v, ",")), " ")
	}
	slices.Sort(sorted)
	var b strings.Builder
	for _, name := range sorted {
		b.WriteString(name + ":" + values[name] + "\n")
	}
	return strings.Join(sorted, ";"), b.String()
}

// canonicalQuery: our requests have none, but an endpoint from the environment
// may.
func canonicalQuery(q url.Values) string {
	for _, v := range q {
		slices.Sort(v)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}

// escapePath escapes what is escaped already once more, as every service but
// S3 wants it.
func escapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

func hmacSum(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func hexSum(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}
