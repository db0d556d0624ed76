"""Where arrays live."""


def check_device(device: str) -> None:
    """Accept "cpu"; say for anything else what is missing."""
    if str(device) == "cpu":
        return
    if str(device).split(":")[0] == "cuda":
        raise RuntimeError(
            f"device {device!r}: minidl has no CUDA kernels installed here. Fix: stay on 'cpu'; every "
            "notebook of the course runs there"
        )
    raise ValueError(f"unknown device {device!r}: 'cpu' is available")
