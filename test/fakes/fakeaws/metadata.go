package fakeaws

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const rolePath = "/latest/meta-data/iam/security-credentials/"

// serveMetadata serves the instance metadata service, version 2 only:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	point := metadataPoint(r.URL.Path)
	if r.Method == http.MethodGet && point != Container && !s.session(r.Header.Get("X-aws-ec2-metadata-token")) {
		point = MetadataV1
	}
	s.reply(w, r, Call{Point: point}, func() answer {
		switch point {
		case MetadataToken:
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds"))
			return s.newSession(r)
		case MetadataV1:
			return plain(http.StatusUnauthorized)
		case MetadataRole, MetadataCredentials:
			return s.roleAnswer(strings.TrimPrefix(r.URL.Path, rolePath))
		case MetadataDocument:
			return s.document()
		case Container:
			return s.containerAnswer(r)
		}
		return plain(http.StatusNotFound)
	})
}

func metadataPoint(path string) Point {
	switch {
	case path == containerPath:
		return Container
	case path == "/latest/api/token":
		return MetadataToken
	case path == rolePath:
		return MetadataRole
	case strings.HasPrefix(path, rolePath):
		return MetadataCredentials
	case path == "/latest/dynamic/instance-identity/document":
		return MetadataDocument
	}
	return Unknown
}

func (s *Server) session(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[token]
}

func (s *Server) newSession(r *http.Request) answer {
	ttl, err := strconv.Atoi(r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds"))
	switch {
	case r.Method != http.MethodPut:
		return plain(http.StatusMethodNotAllowed)
	case r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Via") != "":
		return plain(http.StatusForbidden) // the request came through a proxy
	case err != nil || ttl < 1 || ttl > 21600:
		return plain(http.StatusBadRequest)
	}
	token := random(28)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[token] = true
	return answer{http.StatusOK, "text/plain", token}
}

func (s *Server) roleAnswer(name string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.role == "" || s.notEC2 || name != "" && name != s.role:
		return plain(http.StatusNotFound)
	case name == "":
		return answer{http.StatusOK, "text/plain", s.role}
	}
	expires := s.roleKey.Expires
	if expires.IsZero() {
		expires = s.now().Add(6 * time.Hour)
	}
	return asJSON(map[string]string{
		"Code":            "Success",
		"Type":            "AWS-HMAC",
		"AccessKeyId":     s.roleKey.ID,
		"SecretAccessKey": s.roleKey.Secret,
		"Token":           s.roleKey.Session,
		"Expiration":      expires.UTC().Format(time.RFC3339),
	})
}

func (s *Server) document() answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notEC2 {
		return plain(http.StatusNotFound)
	}
	return asJSON(map[string]string{"accountId": "111122223333", "instanceId": "i-0123456789abcdef0", "region": "us-east-1"})
}

const containerPath = "/v1/credentials"

// containerAnswer answers as the agent of EKS Pod Identity:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func (s *Server) containerAnswer(r *http.Request) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containerKey.ID == "" || r.Header.Get("Authorization") != s.container {
		return answer{http.StatusUnauthorized, "application/json", `{"code":"AccessDenied","message":"the token is not accepted"}`}
	}
	return asJSON(map[string]string{
		"AccessKeyId": s.containerKey.ID, "SecretAccessKey": s.containerKey.Secret, "Token": s.containerKey.Session,
		"Expiration": s.now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	})
}

func plain(status int) answer {
	return answer{status, "text/plain", http.StatusText(status)}
}

func asJSON(v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		return plain(http.StatusInternalServerError)
	}
	return answer{http.StatusOK, "application/x-amz-json-1.1", string(b)}
}
