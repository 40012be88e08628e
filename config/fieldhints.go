package config

import (
	"reflect"
	"strings"
)

// fieldHint returns what to write instead of a name that another program, or common usage, has
// for a field of t; "" for an unknown name.
func fieldHint(t reflect.Type, name string) string {
	for _, w := range fieldHints(t) {
		for word := range strings.FieldsSeq(w.names) {
			if normalName(word) == normalName(name) {
				return w.write
			}
		}
	}
	return ""
}

// normalName removes the differences between naming conventions.
func normalName(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// hint holds names, separated by spaces, and what to write instead.
type hint struct{ names, write string }

func fieldHints(t reflect.Type) []hint {
	const (
		perHost = "how to reach a host and its login are an entry of registries: {host: mirror.corp, …}"
	)
	switch t {
	case reflect.TypeFor[Config]():
		return []hint{
			{"private_registries", "this is RKE's; berth convert --from rke FILE prints a RegistryConfig"},
			{"configs", "this is k3s'; berth convert --from k3s FILE prints a RegistryConfig"},
			{"metadata data spec", "a RegistryConfig is not a Kubernetes object; give the content of the ConfigMap alone"},
			{"auths", "this is Docker's; name its file in dockerConfigFile"},
			{"credHelpers credsStore", "write registries: [{host: registry.corp, credentialHelper: NAME}]"},
			{"mirror endpoint endpoints upstream upstreams", "write mirrors: [{upstream: docker.io, endpoints: [{url: https://mirror.corp}]}]"},
			{"registry auth credentials login logins", "write registries: [{host: registry.corp, username: …, passwordFile: …}]"},
			{"username password passwordFile host", "write it under registries: [{host: registry.corp, username: …, passwordFile: …}]"},
			{"dockerConfig pullSecret imagePullSecret imagePullSecrets", "write dockerConfigFile: /etc/berth/secrets/pull-secret.json"},
			{"certsDir configPath onConflict", "write it under containerd: {certsDir: /etc/containerd/certs.d}"},
			{"dockerMode dockerCertsDir", "write it under docker: {mode: auto, certsDir: /etc/docker/certs.d}"},
			{"configJSON", "write it under kubelet: {configJSON: true}"},
			{"aws", "write ecr"},
			{"httpProxy httpsProxy noProxy", "write it under proxy: {…}"},
		}
	case reflect.TypeFor[Mirror]():
		return []hint{
			{"registry host source name prefix server", "write upstream, the registry's name as in images"},
			{"url urls mirror mirrors hosts address addresses endpoint", "write endpoints: [{url: https://mirror.corp}]"},
			{"fallback", "write upstreamFallback"},
			{"username password passwordFile auth tls insecure skipVerify", perHost},
		}
	case reflect.TypeFor[Endpoint]():
		return []hint{
			{"host server address endpoint mirror location name", "write url"},
			{"timeout connectTimeout", "write dialTimeout"},
			{"header", "write headers"},
			{"username user password passwordFile login auth tls ca caFile client cert insecure skipVerify insecureSkipVerify plainHTTP", perHost},
		}
	case reflect.TypeFor[DefaultRegistry]():
		return []hint{
			{"host registry server address endpoint location name", "write url"},
			{"upstream upstreams", "write for"},
			{"fallback", "write upstreamFallback"},
			{"username user password passwordFile login auth tls insecure skipVerify", perHost},
		}
	case reflect.TypeFor[Registry]():
		return []hint{
			{"url registry server hostname address endpoint location name", "write host: registry.corp:5000, without https://"},
			{"user login", "write username"},
			{"pass passwd pwd secret token identityToken", "write passwordFile, or password"},
			{"helper credHelper credsStore credentialsHelper", "write credentialHelper"},
			{"realm realms tokenRealm tokenServer authServer", "write tokenRealms: [auth.corp]"},
			{"interval refreshInterval", "write refresh"},
			{"email", "remove it, nothing needs it"},
			{"ca caFile caCert certFile cert keyFile key client", "write it under tls: {caFile: …, certFile: …, keyFile: …}"},
			{"insecure skipVerify insecureSkipVerify skipTLSVerify", "write tls: {insecureSkipVerify: true}, or plainHTTP: true"},
			{"http scheme", "write plainHTTP: true for http"},
			{"mirror mirrors endpoints upstream", "write it under mirrors: [{upstream: docker.io, endpoints: [{url: https://mirror.corp}]}]"},
		}
	case reflect.TypeFor[TLS]():
		return []hint{
			{"ca caCert ca_cert_file cafile", "write caFile"},
			{"cert certificate clientCert client", "write certFile"},
			{"key clientKey", "write keyFile"},
			{"insecure skipVerify verify enabled", "write insecureSkipVerify"},
		}
	case reflect.TypeFor[StaticKeys]():
		return []hint{
			{"accessKey aws_access_key_id keyID id", "write accessKeyID, or accessKeyIDFile"},
			{"secretKey secret aws_secret_access_key", "write secretAccessKeyFile, or secretAccessKey"},
			{"token aws_session_token", "write sessionTokenFile, or sessionToken"},
			{"role assumeRole", "write roleARN"},
			{"region", "remove it, the region is in the registry's name"},
		}
	case reflect.TypeFor[ECRCredential]():
		return []hint{
			{"staticKeys keys accessKeyID secretAccessKey", "write static: {accessKeyID: …, secretAccessKeyFile: …}"},
			{"role imds instanceRole", "write instanceProfile: {}"},
			{"profile configFile credentialsFile credential_process process webIdentity podIdentity", "write sdk: {profile: …}, or sdk: {} for the environment"},
		}
	case reflect.TypeFor[SDKCredentials]():
		return []hint{
			{"sharedCredentialsFile credentials", "write credentialsFile"},
			{"sharedConfigFile config", "write configFile"},
			{"role roleARN role_arn credential_process", "write it into the profile, in configFile"},
			{"region", "remove it, the region is in the registry's name"},
		}
	case reflect.TypeFor[RegistryECR]():
		return []hint{{"role roleARN irsa podRole tokenAttributes", "write serviceAccount: {}, and the role into the service account's annotation"}}
	case reflect.TypeFor[ServiceAccount]():
		return []hint{
			{"annotation annotationKey", "write roleAnnotation"},
			{"role roleARN", "write it into the annotation of the service account"},
			{"missing fallback default", "write onMissingRole: none, or node"},
			{"audience serviceAccountTokenAudience tokenAttributes", "remove it, it is in kubelet's configuration"},
		}
	case reflect.TypeFor[ECRRegistry]():
		return []hint{
			{"url name registry", "write host"},
			{"accountID registryID", "write account"},
		}
	case reflect.TypeFor[Proxy]():
		return []hint{{"http https", "write httpProxy or httpsProxy"}}
	case reflect.TypeFor[Containerd]():
		return []hint{{"configPath certs hostsDir", "write certsDir"}}
	case reflect.TypeFor[Kubelet]():
		return []hint{{"config dockerConfig enabled", "write configJSON: true"}}
	case reflect.TypeFor[Docker]():
		return []hint{
			{"configPath certs hostsDir", "write certsDir"},
			{"enabled enable", "write mode: on, auto or off"},
			{"onConflict", "write it under containerd, it is for both directories"},
			{"registryMirrors registry-mirrors insecureRegistries insecure-registries", "write mirrors and registries; berth convert --from docker prints them"},
		}
	}
	return nil
}
