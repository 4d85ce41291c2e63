module truegate/toolchain/sops

go 1.26.5

require github.com/getsops/sops/v3 v3.13.3
