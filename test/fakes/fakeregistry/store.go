package fakeregistry

// Store adds content to the server without requests. It has the methods that sample sets need.
type Store struct{ *Server }

// PutBlob stores a blob in a repository.
func (s Store) PutBlob(repository string, content []byte) error {
	s.Server.PutBlob(repository, content)
	return nil
}

// PutManifest stores a manifest.
func (s Store) PutManifest(repository, tag, mediaType string, raw []byte) error {
	s.Server.PutManifest(repository, tag, mediaType, raw)
	return nil
}
