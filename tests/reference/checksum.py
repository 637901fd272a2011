"""The checksum of the cache's format, one 8-byte word after another, in plain integers."""


def slow_checksum(data: bytes, chunk_bytes: int) -> str:
    total = 0
    for j, start in enumerate(range(0, len(data), chunk_bytes)):
        chunk = data[start : start + chunk_bytes]
        chunk_sum = 0
        for i in range(0, len(chunk), 8):
            weight = (2 * (i // 8 % 509) + 1) * 0x9E3779B97F4A7C15
            chunk_sum += weight * int.from_bytes(chunk[i : i + 8], "little")
        total += (2 * j + 1) * chunk_sum
    return f"{total % 2**64:016x}"
