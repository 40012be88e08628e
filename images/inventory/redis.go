package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/dockerhub"
)

// Redis collects what manifests say about Redis Enterprise. Its operator starts pods from images
// that the custom resource may leave out.
// https://redis.io/docs/latest/operate/kubernetes/reference/redis_enterprise_cluster_api/
type Redis struct {
	operators []Occurrence // containers of the operator
	related   bool         // RELATED_IMAGE_… variables give the operator its images
	clusters  []redisCluster
}

// redisCluster is a RedisEnterpriseCluster.
type redisCluster struct {
	place place.Place
	specs map[string]Occurrence // by field name in its spec
}

// redisSpec is a field that names an image of a cluster, the repository that the operator uses if
// the field is missing, and whether the tag must equal the operator's.
type redisSpec struct {
	field, repository string
	asOperator        bool
}

var redisSpecs = []redisSpec{
	{"redisEnterpriseImageSpec", "redislabs/redis", false},
	{"redisEnterpriseServicesRiggerImageSpec", "redislabs/k8s-controller", true},
	{"bootstrapperImageSpec", "redislabs/operator", true},
}

const redisKind = "RedisEnterpriseCluster"

// Add adds the findings of one document.
func (r *Redis) Add(found Inventory) {
	for _, place := range found.redis {
		r.clusters = append(r.clusters, redisCluster{place: place, specs: map[string]Occurrence{}})
	}
	for _, x := range found.Images {
		switch {
		case IsRedisSpec(x):
			for _, c := range r.clusters[len(r.clusters)-len(found.redis):] {
				if c.place.Namespace == x.Place.Namespace && c.place.Name == x.Place.Name {
					c.specs[strings.TrimPrefix(x.Place.Field, "spec.")] = x
				}
			}
		case x.Place.Use == place.UseContainer && isRedisOperator(x.Ref):
			r.operators = append(r.operators, x)
		case x.Place.Use == place.UseEnv && strings.Contains(x.Place.Name, "redis-enterprise-operator"):
			r.related = true
		}
	}
}

// IsRedisSpec reports whether an image is in one of the fields of redisSpecs.
func IsRedisSpec(x Occurrence) bool {
	return x.Place.Kind == redisKind && slices.ContainsFunc(redisSpecs, func(s redisSpec) bool { return x.Place.Field == "spec."+s.field })
}

func isRedisOperator(ref reference.Reference) bool {
	name := "/" + ref.Repository()
	return strings.HasSuffix(name, "/redislabs/operator") || strings.HasSuffix(name, "/redislabs/redis-enterprise-operator")
}

// Problems returns, for the clusters that isMeant selects, images that no manifest names and
// versions that do not match.
func (r *Redis) Problems(isMeant func(place.Place) bool) []error {
	var all []error
	for _, c := range r.clusters {
		if !isMeant(c.place) {
			continue
		}
		version := r.version(c.place.Namespace)
		all = append(all, c.missing(version, r.related)...)
		all = append(all, c.mismatched(version)...)
	}
	return all
}

// version is the tag of the operator that serves a namespace, "" if it is unknown or ambiguous.
func (r *Redis) version(namespace string) string {
	var tags []string
	for _, own := range []bool{true, false} {
		for _, x := range r.operators {
			if (x.Place.Namespace == namespace) == own && x.Ref.Tag() != "" && !slices.Contains(tags, x.Ref.Tag()) {
				tags = append(tags, x.Ref.Tag())
			}
		}
		if len(tags) > 0 {
			break
		}
	}
	if len(tags) != 1 {
		return ""
	}
	return tags[0]
}

func (c redisCluster) missing(version string, related bool) []error {
	if related {
		return nil // which are listed
	}
	var fields, taken []string
	for _, spec := range redisSpecs {
		if _, ok := c.specs[spec.field]; ok {
			continue
		}
		fields = append(fields, spec.field)
		if spec.asOperator && version != "" {
			taken = append(taken, dockerhub.Name+"/"+spec.repository+":"+version)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	text := "the operator chooses images, because there is no " + strings.Join(fields, " and no ")
	switch {
	case len(taken) == len(fields):
		text += fmt.Sprintf("; version %s takes %s", version, strings.Join(taken, " and "))
	case len(taken) > 0:
		text += fmt.Sprintf("; version %s takes %s, and the Redis that its release notes name", version, strings.Join(taken, " and "))
	default:
		text += "; the release notes of its version name them"
	}
	return []error{&place.Problem{Place: c.place, Err: errors.New(text + "; write them as repository and versionTag, or add them to a --plain list")}}
}

// mismatched reports images whose version must equal the operator's and does not.
func (c redisCluster) mismatched(version string) []error {
	var all []error
	var first Occurrence
	for _, spec := range redisSpecs {
		x, ok := c.specs[spec.field]
		tag := x.Ref.Tag()
		switch {
		case !ok:
		case errors.Is(x.Err, errUntagged) && spec.asOperator && version != "":
			all = append(all, &place.Problem{Place: x.Place, Err: fmt.Errorf("image %s: has no versionTag; write that of the operator, versionTag: %s", reference.Quote(x.Text), version)})
		case x.Err != nil:
			all = append(all, &place.Problem{Place: x.Place, Err: x.Err})
		case !spec.asOperator || tag == "":
		case version != "" && tag != version:
			all = append(all, &place.Problem{Place: x.Place, Err: fmt.Errorf("version %s does not match the operator's, %s; write versionTag: %s", tag, version, version)})
		case version == "" && first.Ref.Tag() != "" && first.Ref.Tag() != tag:
			all = append(all, &place.Problem{Place: x.Place, Err: fmt.Errorf("version %s does not match that of %s, %s; both have to be the operator's",
				tag, strings.TrimPrefix(first.Place.Field, "spec."), first.Ref.Tag())})
		}
		if ok && spec.asOperator && x.Err == nil && first.Ref.IsZero() {
			first = x
		}
	}
	return all
}
