package fakeaws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// CreateRepository is the point of that call, in ECR and in ECR Public.
const CreateRepository Point = "create repository"

const (
	targetCreate       = "AmazonEC2ContainerRegistry_V20150921.CreateRepository"
	targetCreatePublic = "SpencerFrontendService.CreateRepository"
)

func createsRepository(r *http.Request) bool {
	target := r.Header.Get("X-Amz-Target")
	return target == targetCreate || target == targetCreatePublic
}

// repositories are those of one server.
type repositories struct {
	names []string // "111122223333 eu-west-1 team/app"; "public us-east-1 app"
	// made is told of each new one.
	made func(name string)
}

// OnRepository makes the server call f for each new repository.
func (s *Server) OnRepository(f func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos.made = f
}

// Repositories returns the repositories that were created, as "account region name".
func (s *Server) Repositories() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.repos.names)
}

// createRepository answers the call whose signature has been verified.
func (s *Server) createRepository(c Call, r *http.Request, body []byte) answer {
	var request struct {
		Name    string `json:"repositoryName"`
		Account string `json:"registryId"`
	}
	public := r.Header.Get("X-Amz-Target") == targetCreatePublic
	if err := json.Unmarshal(body, &request); err != nil || request.Name == "" || public != (request.Account == "") {
		return refuse(ECR, http.StatusBadRequest, "InvalidParameterException", "bad CreateRepository request")
	}
	if public {
		request.Account = "public"
	}
	full := strings.Join([]string{request.Account, c.Region, request.Name}, " ")
	s.mu.Lock()
	exists, made := slices.Contains(s.repos.names, full), s.repos.made
	if !exists {
		s.repos.names = append(s.repos.names, full)
	}
	s.mu.Unlock()
	if exists {
		return refuse(ECR, http.StatusBadRequest, "RepositoryAlreadyExistsException",
			fmt.Sprintf("The repository with name '%s' already exists in the registry with id '%s'", request.Name, request.Account))
	}
	if made != nil {
		made(request.Name)
	}
	return answer{http.StatusOK, "application/x-amz-json-1.1", fmt.Sprintf(`{"repository":{"repositoryName":%q}}`, request.Name)}
}
