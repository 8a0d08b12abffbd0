# SPDX-License-Identifier: Apache-2.0
"""Recipes that change a torch model before or while it is trained. torch is imported when one is called."""
