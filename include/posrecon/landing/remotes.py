"""The two ways to where files lie: SFTP, and what fsspec calls a file system (a folder, an object store)."""

import shutil
import stat
from posixpath import join
from typing import TYPE_CHECKING, Any, BinaryIO

from posrecon.landing.arrival import RemoteFile

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from paramiko import SFTPAttributes, SFTPClient

CHUNK = 4 * 1024 * 1024
# Read requests under way at once; without a bound a large file asks for all of itself.
REQUESTS_MAX = 64


class SftpRemote:
    """Files of an SFTP server. Links are not followed: what they point to is no file of this folder."""

    def __init__(self, client: "SFTPClient") -> None:
        self._client = client

    def files(self, folder: str) -> list[RemoteFile]:
        """See `Remote`."""
        listed = self._client.listdir_attr(folder)
        return [
            self._file(join(folder, entry.filename), entry)
            for entry in listed
            if stat.S_ISREG(entry.st_mode if entry.st_mode is not None else stat.S_IFREG)
        ]

    def file(self, location: str) -> RemoteFile | None:
        """See `Remote`."""
        try:
            return self._file(location, self._client.lstat(location))
        except FileNotFoundError:
            return None

    def fetch(self, location: str, target: BinaryIO) -> None:
        """See `Remote`."""
        self._client.getfo(location, target, max_concurrent_prefetch_requests=REQUESTS_MAX)

    def remove(self, location: str) -> None:
        """See `Remote`."""
        self._client.remove(location)

    @staticmethod
    def _file(location: str, entry: "SFTPAttributes") -> RemoteFile:
        modified = entry.st_mtime
        return RemoteFile(
            name=location.rpartition("/")[2],
            location=location,
            size=entry.st_size if entry.st_size is not None else -1,
            version=str(modified),
            modified=modified,
        )


class StoreRemote:
    """Files of an fsspec file system: a local folder, or an object store, whose paths begin with the bucket.

    Args:
        fs: The file system.
        root: What folders that are not absolute are relative to.
    """

    def __init__(self, fs: "AbstractFileSystem", root: str = "") -> None:
        self._fs = fs
        self._root = root

    def files(self, folder: str) -> list[RemoteFile]:
        """See `Remote`. A bucket without anything under the prefix is an empty folder."""
        self._fs.invalidate_cache()
        try:
            listed = self._fs.ls(join(self._root, folder), detail=True)
        except FileNotFoundError as error:
            # A store has no folders: only an answer of the server says that the bucket itself is not there.
            if _is_local(self._fs) or error.__cause__ is not None:
                raise
            return []
        return [self._file(entry) for entry in listed if entry["type"] == "file"]

    def file(self, location: str) -> RemoteFile | None:
        """See `Remote`."""
        self._fs.invalidate_cache()
        try:
            return self._file(self._fs.info(location))
        except FileNotFoundError:
            return None

    def fetch(self, location: str, target: BinaryIO) -> None:
        """See `Remote`."""
        with self._fs.open(location, "rb", block_size=CHUNK) as stream:
            shutil.copyfileobj(stream, target, CHUNK)

    def remove(self, location: str) -> None:
        """See `Remote`."""
        self._fs.rm_file(location)

    @staticmethod
    def _file(entry: dict[str, Any]) -> RemoteFile:
        changed = entry.get("LastModified")
        modified = entry.get("mtime") if changed is None else changed.timestamp()
        return RemoteFile(
            name=entry["name"].rpartition("/")[2],
            location=entry["name"],
            size=entry["size"],
            version=str(entry.get("ETag") or modified),
            modified=modified,
        )


def _is_local(fs: "AbstractFileSystem") -> bool:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    return "file" in protocols
