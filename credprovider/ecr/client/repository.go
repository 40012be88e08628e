package client

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	publictypes "github.com/aws/aws-sdk-go-v2/service/ecrpublic/types"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// CreateRepository implements [ecr.Client]:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_CreateRepository.html
func (c *Client) CreateRepository(ctx context.Context, r ecr.Registry, s ecr.Source, name string) error {
	op := "create the repository " + clean(name) + " in " + string(r.Service()) + " in " + r.Region
	k, err := c.credentials(ctx, r, s, true)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if r.Public {
		_, err = c.public(r).CreateRepository(ctx, &ecrpublic.CreateRepositoryInput{RepositoryName: &name},
			func(o *ecrpublic.Options) { o.Credentials = fixed(k) })
		if there := (*publictypes.RepositoryAlreadyExistsException)(nil); errors.As(err, &there) {
			return nil
		}
	} else {
		// Without the account, the repository would be created in the account of the keys, whichever
		// registry was meant.
		in := &sdkecr.CreateRepositoryInput{RepositoryName: &name, RegistryId: aws.String(r.Account)}
		_, err = c.private(r).CreateRepository(ctx, in, func(o *sdkecr.Options) { o.Credentials = fixed(k) })
		if there := (*types.RepositoryAlreadyExistsException)(nil); errors.As(err, &there) {
			return nil
		}
	}
	if err != nil {
		return failure(op, err, k)
	}
	return nil
}
