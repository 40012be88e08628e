package fakeaws

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The operations, as the header X-Amz-Target names them.
const (
	targetECR       = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
	targetECRPublic = "SpencerFrontendService.GetAuthorizationToken"
)

// serveAPI serves ECR, ECR Public and STS. The signature names the service.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	sig, sigErr := parseSignature(r.Header)
	service := apiPoint(r, body)
	call := Call{Point: service, KeyID: sig.keyID, Region: sig.region}
	if createsRepository(r) {
		call.Point = CreateRepository
	}
	s.reply(w, r, call, func() answer {
		if service == WebIdentity {
			return s.webIdentity(body)
		}
		if sigErr != nil {
			return refuse(call.Point, http.StatusBadRequest, "MissingAuthenticationTokenException", sigErr.Error())
		}
		if code, message := s.verify(r, body, sig, service); code != "" {
			return refuse(service, signatureStatus(service), code, message)
		}
		switch call.Point {
		case CreateRepository:
			return s.createRepository(call, r, body)
		case ECR, ECRPublic:
			return s.registryToken(call)
		case STS:
			return s.assumeRole(body)
		case CallerIdentity:
			return s.callerIdentity(sig.keyID)
		}
		return refuse(call.Point, http.StatusBadRequest, "UnknownOperationException", "")
	})
}

func apiPoint(r *http.Request, body []byte) Point {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return Unknown
	}
	switch r.Header.Get("X-Amz-Target") {
	case targetECR, targetCreate:
		return ECR
	case targetECRPublic, targetCreatePublic:
		return ECRPublic
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return Unknown
	}
	switch form.Get("Action") {
	case "AssumeRole":
		return STS
	case "AssumeRoleWithWebIdentity":
		return WebIdentity
	case "GetCallerIdentity":
		return CallerIdentity
	}
	return Unknown
}

// signatureStatus returns the status of a signature error: 400 for the JSON services, 403 for the
// query service.
func signatureStatus(p Point) int {
	if p.isSTS() {
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

func (s *Server) registryToken(c Call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	password := c.Region + "." + random(24)
	if s.password != nil {
		password = s.password(c.Point, c.Region)
	}
	expires := s.now().Add(s.life)
	s.issued[password] = Issued{Service: c.Point, KeyID: c.KeyID, Region: c.Region, Expires: expires}
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
	at := float64(expires.UnixMilli()) / 1000
	if c.Point == ECRPublic {
		return answer{http.StatusOK, "application/x-amz-json-1.1", fmt.Sprintf(
			`{"authorizationData":{"authorizationToken":%q,"expiresAt":%.3f}}`, token, at)}
	}
	return answer{http.StatusOK, "application/x-amz-json-1.1", fmt.Sprintf(
		`{"authorizationData":[{"authorizationToken":%q,"expiresAt":%.3f,"proxyEndpoint":"https://111122223333.dkr.ecr.%s.amazonaws.com"}]}`,
		token, at, c.Region)}
}

// assumeRole returns a new key for each call.
func (s *Server) assumeRole(body []byte) answer {
	form, err := url.ParseQuery(string(body))
	role := form.Get("RoleArn")
	if err != nil || !strings.HasPrefix(role, "arn:") || form.Get("RoleSessionName") == "" || form.Get("Version") != "2011-06-15" {
		return refuse(STS, http.StatusBadRequest, "ValidationError", "bad AssumeRole request")
	}
	return s.roleSession(role, form.Get("RoleSessionName"), "AssumeRole")
}

// webIdentity exchanges a token, like AssumeRoleWithWebIdentity.
func (s *Server) webIdentity(body []byte) answer {
	form, err := url.ParseQuery(string(body))
	role := form.Get("RoleArn")
	if err != nil || !strings.HasPrefix(role, "arn:") || form.Get("RoleSessionName") == "" {
		return refuse(WebIdentity, http.StatusBadRequest, "ValidationError", "bad AssumeRoleWithWebIdentity request")
	}
	s.mu.Lock()
	verify := s.verifyToken
	s.mu.Unlock()
	if verify == nil {
		return refuse(WebIdentity, http.StatusBadRequest, "InvalidIdentityToken", "No OpenIDConnect provider found in your account")
	}
	if err := verify(form.Get("WebIdentityToken"), role); err != nil {
		return refuse(WebIdentity, http.StatusForbidden, "AccessDenied", err.Error())
	}
	return s.roleSession(role, form.Get("RoleSessionName"), "AssumeRoleWithWebIdentity")
}

// roleSession returns a new key of a role for an action.
func (s *Server) roleSession(role, session, action string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := Key{ID: "ASIA" + strings.ToUpper(random(8)), Secret: random(20), Session: random(40), Expires: s.now().Add(time.Hour)}
	account, name, _ := strings.Cut(strings.TrimPrefix(role, "arn:aws:iam::"), ":role/")
	key.ARN = "arn:aws:sts::" + account + ":assumed-role/" + name + "/" + session
	s.keys[key.ID] = key
	s.assumed[role] = key.ID
	return answer{http.StatusOK, "text/xml", fmt.Sprintf(
		`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser><Arn>%[2]s</Arn><AssumedRoleId>x</AssumedRoleId></AssumedRoleUser>`+
			`<Credentials><AccessKeyId>%[3]s</AccessKeyId><SecretAccessKey>%[4]s</SecretAccessKey><SessionToken>%[5]s</SessionToken><Expiration>%[6]s</Expiration></Credentials>`+
			`</%[1]sResult></%[1]sResponse>`,
		action, key.ARN, key.ID, key.Secret, key.Session, key.Expires.UTC().Format(time.RFC3339))}
}

func (s *Server) callerIdentity(keyID string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := s.keys[keyID].ARN
	if arn == "" {
		arn = "arn:aws:iam::111122223333:user/" + keyID
	}
	return answer{http.StatusOK, "text/xml", fmt.Sprintf(
		`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>%s</Arn><UserId>x</UserId><Account>111122223333</Account>`+
			`</GetCallerIdentityResult></GetCallerIdentityResponse>`, arn)}
}

// Owner returns whose key it is, "" for an unknown key and for one of a user.
func (s *Server) Owner(keyID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[keyID].ARN
}

// Assumed returns the id of the last key that was issued for a role.
func (s *Server) Assumed(roleARN string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assumed[roleARN]
}
