# SPDX-License-Identifier: Apache-2.0
"""The operations by family, and what each is for, in our own words. A test holds that none is missing."""

from typing import Final

#: Family -> operation -> what it is for.
FAMILIES: Final[dict[str, dict[str, str]]] = {
    "Keys": {
        "CreateKey": (
            "Makes a KMS key in the Region of the request: for encryption, signatures, message authentication codes, "
            "key agreement or key encapsulation, as its key spec and key usage say. Neither can be changed later. With "
            "the origin EXTERNAL the key waits for key material of yours."
        ),
        "DescribeKey": (
            "Tells all that is known of a key but its policy, its grants and its tags: spec, usage, state, dates, "
            "Regions. It works in every key state, and takes a key ID, an alias or the ARN of either."
        ),
        "ListKeys": "Lists IDs and ARNs of the keys that the account has in the Region, a page at a time.",
        "UpdateKeyDescription": "Replaces the description of a key. An empty one removes it.",
        "GetKeyLastUsage": (
            "Tells when the key's material was last used, and by which operation: the question to ask before a key is "
            "disabled or deleted. It names the audit record of that use."
        ),
    },
    "Key state": {
        "EnableKey": "Lets a disabled key be used again.",
        "DisableKey": (
            "Stops every use of a key until it is enabled again. Nothing is lost: it is the step to take, and to wait "
            "after, before a deletion."
        ),
        "ScheduleKeyDeletion": (
            "Sets the day on which the key and its material are destroyed for good, 7 to 30 days ahead. Until then the "
            "key cannot be used, and the deletion can be cancelled. What only this key can decrypt is lost with it."
        ),
        "CancelKeyDeletion": (
            "Takes a scheduled deletion back. The key is left disabled, so that using it again is a step of its own: "
            "EnableKey."
        ),
    },
    "Aliases": {
        "CreateAlias": (
            "Gives a key a name of your choosing, which can be used in place of its ID and can be pointed at another "
            "key later. A name is unique to its account and Region."
        ),
        "UpdateAlias": (
            "Points an alias at another key of the same type and usage. What uses the alias goes on with the new key; "
            "what was encrypted under the old one still needs that."
        ),
        "DeleteAlias": "Removes an alias. Its key is not touched.",
        "ListAliases": "Lists aliases of the account in the Region, or those of one key, a page at a time.",
    },
    "Encryption": {
        "Encrypt": (
            "Encrypts up to 4,096 bytes under a key; an RSA key takes less. For more, encrypt a data key and let that "
            "encrypt the data. What is given as encryption context is authenticated, not kept: Decrypt needs the same."
        ),
        "Decrypt": (
            "Decrypts what Encrypt, ReEncrypt or an operation for data keys gave out. A ciphertext of a symmetric key "
            "names that key; for any other the request has to. Name the key all the same: then no other can answer."
        ),
        "ReEncrypt": (
            "Moves a ciphertext from one key or encryption context to another inside the server; the plaintext never "
            "leaves it."
        ),
    },
    "Data keys": {
        "GenerateDataKey": (
            "Makes a random data key and gives it out twice: as it is, to encrypt data with at once and then forget, "
            "and encrypted under the KMS key, to keep beside the data."
        ),
        "GenerateDataKeyWithoutPlaintext": (
            "Makes a random data key and gives it out encrypted only, for who prepares storage that another will fill."
        ),
        "GenerateDataKeyPair": (
            "Makes an asymmetric key pair to be used outside: the public key, the private key, and the private key "
            "encrypted under the KMS key."
        ),
        "GenerateDataKeyPairWithoutPlaintext": (
            "Makes an asymmetric key pair, and gives out its private key encrypted under the KMS key only."
        ),
        "GenerateRandom": "Gives up to 1,024 random bytes that are fit for keys. It is about no KMS key.",
    },
    "Signatures": {
        "Sign": (
            "Signs a message of up to 4,096 bytes, or the digest of a longer one, with the private key of an "
            "asymmetric KMS key, which never leaves the server."
        ),
        "Verify": (
            "Checks a signature with the key that is to have made it. A wrong signature is an error, not an answer "
            "that says no. Who has the public key can do the same without the server."
        ),
        "GetPublicKey": (
            "Gives the public key of an asymmetric KMS key, as a SubjectPublicKeyInfo in DER (RFC 5280), for use "
            "outside."
        ),
    },
    "Message authentication": {
        "GenerateMac": "Computes the HMAC of a message of up to 4,096 bytes under an HMAC key.",
        "VerifyMac": (
            "Computes the HMAC of a message anew and compares in constant time. A wrong one is an error, not an answer "
            "that says no."
        ),
    },
    "Key agreement": {
        "DeriveSharedSecret": (
            "Derives the secret that an elliptic-curve key shares with the owner of another public key (ECDH, "
            "NIST SP 800-56A). It is raw: pass it through a key derivation function before it is used as a key."
        ),
        "Encapsulate": (
            "Makes a fresh shared secret with the public half of an ML-KEM key (FIPS 203), together with the "
            "ciphertext from which the owner of the private half gets the same secret."
        ),
        "Decapsulate": (
            "Gets the shared secret out of a ciphertext of Encapsulate. A ciphertext that was changed gives another "
            "secret, not an error: that is how ML-KEM is defined."
        ),
    },
    "Policies": {
        "GetKeyPolicy": "Gives the key policy, byte for byte as it was put.",
        "PutKeyPolicy": (
            "Replaces the key policy as a whole. A policy under which you could not put another one is refused, unless "
            "the request insists."
        ),
        "ListKeyPolicies": "Lists the names of the policies of a key. There is always one, and it is called default.",
    },
    "Grants": {
        "CreateGrant": (
            "Lets one principal use a key for certain operations, beside what policies say, until the grant is retired "
            "or revoked. It can demand an encryption context."
        ),
        "ListGrants": "Lists the grants on a key, a page at a time, or those that one principal has.",
        "ListRetirableGrants": "Lists the grants in the account and Region that a principal may retire.",
        "RetireGrant": (
            "Ends a grant by who has no more need of it: its retiring principal, its grantee if that is one of the "
            "operations it grants, or the account's root."
        ),
        "RevokeGrant": "Ends a grant by who administers the key, whatever its grantee thinks of it.",
    },
    "Rotation": {
        "EnableKeyRotation": (
            "Has a symmetric key's material replaced every 90 to 2,560 days, 365 if the request does not say. Earlier "
            "material is kept to decrypt with; nothing has to be encrypted anew."
        ),
        "DisableKeyRotation": "Stops the automatic rotation of a key. Rotation on demand stays possible.",
        "GetKeyRotationStatus": "Tells whether a key is rotated by itself, how often, and when next.",
        "RotateKeyOnDemand": (
            "Replaces the key material now, whether or not the key is rotated by itself; the dates of that stay as "
            "they are. With the origin EXTERNAL it takes the material that was imported for it."
        ),
        "ListKeyRotations": (
            "Lists the completed rotations of a key, or all its key materials, the first one included."
        ),
    },
    "Imported key material": {
        "GetParametersForImport": (
            "Gives the public key to wrap your key material with, and the token that goes with it. Both are good for "
            "24 hours, for this key alone."
        ),
        "ImportKeyMaterial": (
            "Brings wrapped key material into a key of origin EXTERNAL: the first, the same once more after it was "
            "deleted or has expired, or new material for a rotation. Keep a copy: the server cannot give it back."
        ),
        "DeleteImportedKeyMaterial": (
            "Destroys imported key material at once; the key stays and waits for the same material to be imported "
            "again. Faster than any deletion of a key, and it can be undone by who kept a copy."
        ),
    },
    "Multi-Region keys": {
        "ReplicateKey": (
            "Makes a replica of a multi-Region primary key in another Region: same ID and key material, so that either "
            "decrypts what the other encrypted; policy, tags, grants and aliases are its own."
        ),
        "UpdatePrimaryRegion": "Makes a replica the primary key, and the primary a replica.",
    },
    "Tags": {
        "TagResource": "Adds tags to a key, or changes the values of those it has.",
        "UntagResource": "Removes tags from a key. One that it does not have is no error.",
        "ListResourceTags": "Lists the tags of a key, a page at a time.",
    },
    "Custom key stores": {
        "CreateCustomKeyStore": (
            "In AWS: makes a key store whose keys live in a CloudHSM cluster, or in a key manager outside AWS. Not "
            "available here yet."
        ),
        "DescribeCustomKeyStores": "In AWS: tells of the account's custom key stores. Not available here yet.",
        "UpdateCustomKeyStore": "In AWS: changes the settings of a custom key store. Not available here yet.",
        "DeleteCustomKeyStore": "In AWS: removes a custom key store that has no keys. Not available here yet.",
        "ConnectCustomKeyStore": (
            "In AWS: connects a custom key store to what is behind it, so that its keys work. Not available here yet."
        ),
        "DisconnectCustomKeyStore": (
            "In AWS: disconnects a custom key store, so that none of its keys works. Not available here yet."
        ),
    },
}

PURPOSES: Final[dict[str, str]] = {name: text for family in FAMILIES.values() for name, text in family.items()}

FAMILY_OF: Final[dict[str, str]] = {name: family for family, names in FAMILIES.items() for name in names}
